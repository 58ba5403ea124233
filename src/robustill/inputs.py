"""Checks of images and labels at the entry points of the library.

They read the tensors back to the host once, so they stand where a batch enters, never inside a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustill.errors import InputError

# Resizing and decoding may overshoot by rounding; a real scaling mistake (0..255, mean/std) is far larger.
_TOLERANCE = 1e-3


def check_images(x: Tensor, shape: Sequence[int] | None = None) -> None:
    """Check that `x` is a batch of images in [0, 1] (up to 0.001, which resizing may overshoot).

    Args:
        x: Images `[B, C, H, W]`, floating point; without `shape` also flat ones `[B, features]`.
        shape: The `(C, H, W)` that is expected; any when None.

    Raises:
        InputError: Wrong rank, shape or type, values outside [0, 1], or not a number.
    """
    if not x.is_floating_point():
        raise InputError(f"images must be floating point, not {x.dtype}", "for 0..255 images pass x.float() / 255")
    if x.dim() < 2 or (shape is not None and tuple(x.shape[1:]) != tuple(shape)):
        wanted = "[B, C, H, W]" if shape is None else f"[B, {', '.join(map(str, shape))}]"
        raise InputError(f"images must be {wanted}, not of shape {list(x.shape)}")
    if x.numel() == 0:
        return
    low, high = (float(v) for v in torch.aminmax(x.detach()))
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise InputError(f"images must lie in [0, 1], these run from {low:.4g} to {high:.4g}", _hint(low, high))


def _hint(low: float, high: float) -> str:
    if low != low or high != high:
        return "some values are not a number"
    if low >= 0 and 16 < high <= 256:
        return "they look like 0..255 images: divide by 255"
    if low < 0:
        return "they look normalised already: pass plain images, the model normalises inside (mean=, std=)"
    return "scale them to [0, 1]"


def check_kind(name: str, value: object, kind: type, hint: str) -> None:
    """Check that what was given as `name` is a `kind`, before something inside fails on it.

    Raises:
        InputError: It is something else; `hint` says how to get one, with the value in place of `{}`.
    """
    if not isinstance(value, kind):
        shown = f"the text {value[:100]!r}" if isinstance(value, str) else f"a {type(value).__name__}"
        given = repr(value[:100]) if isinstance(value, str) else "..."
        raise InputError(f"{name} is {shown}, not a {kind.__name__}", hint.format(given))


def check_network_kind(name: str, value: object) -> None:
    """Check that what was given as `name` is a PyTorch module.

    Raises:
        InputError: It is something else, such as the name of a model.
    """
    check_kind(name, value, nn.Module, "load it: robustill.load_model({})")


def check_labels(y: Tensor, num_classes: int | None, size: int | None = None) -> None:
    """Check that `y` holds class indices `[B]` in `0 .. num_classes - 1`; of any number of classes when None.

    Raises:
        InputError: Wrong type, shape, length, or a label out of range.
    """
    if y.dtype != torch.int64 or y.dim() != 1 or (size is not None and len(y) != size):
        wanted = "[B]" if size is None else f"[{size}]"
        hint = "class indices are y.long(), those of one-hot labels y.argmax(1)" if y.dtype != torch.int64 else None
        raise InputError(f"labels must be int64 {wanted}, found {y.dtype} {list(y.shape)}", hint)
    if num_classes is not None and len(y) and not (int(y.min()) >= 0 and int(y.max()) < num_classes):
        raise InputError(
            f"labels run from {int(y.min())} to {int(y.max())}, but there are {num_classes} classes",
            "labels count from 0; give the right number of classes",
        )
