"""Arrays that came from a user or a file, checked and brought into one form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustill.data.sources import ArraySource
from robustill.errors import InputError

_CHANNELS = (1, 3)
_MAX_CLASSES = 65_536
_CHUNK = 4_096


def array_source(images: Any, labels: Any, where: str, class_names: Sequence[str] | None = None) -> ArraySource:
    """Check images and labels and hold them as uint8 [N, C, H, W] and int64 [N].

    Args:
        images: uint8 or float in [0, 1], [N, H, W], [N, H, W, C] or [N, C, H, W].
        labels: Integers from 0, [N] or [N, 1].
        where: Named in errors.
        class_names: With them, labels must be below their number.

    Raises:
        InputError: What is wrong, and with which of the two.
    """
    pixels, classes = _as_images(images, where), _as_labels(labels, where)
    if len(pixels) != len(classes):
        raise InputError(f"{where}: {len(pixels)} images but {len(classes)} labels", "give one label per image")
    if not len(pixels):
        raise InputError(f"{where}: there are no images", "give at least one")
    limit = _MAX_CLASSES if class_names is None else len(class_names)
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= limit:
        wrong = low if low < 0 else high
        hint = "number the classes from 0 without gaps"
        if (low, high) == (1, limit):
            hint = "labels start at 0: subtract 1"
        elif class_names is not None:
            hint = f"class_names, or else the training labels, give {limit} classes, numbered from 0"
        raise InputError(f"{where}: label {wrong} is outside 0..{limit - 1}", hint)
    return ArraySource(pixels, classes)


def _as_tensor(array: Any, what: str) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach().cpu()
    found = np.asarray(array)
    if found.dtype.kind not in "buif":
        raise InputError(f"{what} are an array of {found.dtype}; numbers are needed")
    native = found.astype(found.dtype.newbyteorder("="), copy=False)
    if native.dtype in (np.uint16, np.uint32, np.uint64):
        native = native.astype(np.int64)
    elif native.dtype.kind == "f" and native.dtype.itemsize > 8:
        native = native.astype(np.float64)
    # torch warns about memory it may not write to, although nothing here writes.
    return torch.from_numpy(np.array(native) if not native.flags.writeable else np.ascontiguousarray(native))


def _as_labels(labels: Any, where: str) -> Tensor:
    found = _as_tensor(labels, f"{where}: labels")
    if found.dtype == torch.bool or found.dtype.is_floating_point or found.dtype.is_complex:
        raise InputError(f"{where}: labels are {found.dtype}; they must be integers from 0")
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise InputError(f"{where}: labels have shape {tuple(found.shape)}; expected [N], one number per image")
    return found.to(torch.int64)


def _as_images(images: Any, where: str) -> Tensor:
    found = _channels_first(_as_tensor(images, f"{where}: images"), where, not isinstance(images, Tensor))
    if found.dtype == torch.uint8:
        return found.contiguous()
    if not found.dtype.is_floating_point:
        raise InputError(f"{where}: images are {found.dtype}; they must be uint8, or float in [0, 1]")
    pixels = torch.empty(found.shape, dtype=torch.uint8)
    for start in range(0, len(found), _CHUNK):
        part = found[start : start + _CHUNK].to(torch.float32)
        low, high = (float(part.min()), float(part.max())) if part.numel() else (0.0, 0.0)
        if not (low >= 0 and high <= 1):
            hint = "divide by 255, or give uint8" if 1 < high <= 255 and low >= 0 else "undo the normalisation"
            problem = "hold NaN" if low != low else f"reach from {low:g} to {high:g}"
            raise InputError(f"{where}: float images must be in [0, 1], these {problem}", hint)
        pixels[start : start + _CHUNK] = part.mul(255).round().to(torch.uint8)
    return pixels


def _channels_first(images: Tensor, where: str, unclear: bool) -> Tensor:
    shape = tuple(images.shape)
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim != 4 or (shape[1] not in _CHANNELS and shape[3] not in _CHANNELS):
        raise InputError(
            f"{where}: images have shape {shape}; expected [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels"
        )
    elif shape[1] not in _CHANNELS:
        images = images.permute(0, 3, 1, 2)
    elif shape[3] in _CHANNELS and unclear and shape[1:] != (1, 1, 1):
        raise InputError(
            f"{where}: it is unclear which axis of shape {shape} holds the channels",
            "give a torch tensor [N, C, H, W]",
        )
    if 0 in images.shape[1:]:
        raise InputError(
            f"{where}: images have shape {shape}, without a single pixel",
            "expected [N, H, W], [N, H, W, C] or [N, C, H, W]",
        )
    return images
