"""The check of images at entry points: images in [0, 1] of the right shape."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from robustill.errors import InputError

_TOLERANCE = 1e-3


def check_images(x: Tensor, shape: Sequence[int] | None = None) -> None:
    """Check that `x` is a batch of images [B, C, H, W] with values in [0, 1] (tolerance 0.001).

    Reads values on the host: call it at entry points, not in a forward pass.

    Args:
        x: Images.
        shape: (C, H, W) that the images must have, or None for any.

    Raises:
        InputError: Wrong number of dimensions, shape or type, an empty batch, or values outside [0, 1].
    """
    if x.ndim != 4:
        raise InputError(f"images must be [batch, channels, height, width], not of shape {list(x.shape)}")
    if shape is not None and tuple(x.shape[1:]) != tuple(shape):
        raise InputError(_shape_message(tuple(x.shape[1:]), tuple(shape)))
    if x.numel() == 0:
        raise InputError(f"the batch of images is empty: shape {list(x.shape)}")
    if not x.is_floating_point():
        raise InputError(
            f"images must be floating point, not {x.dtype}", hint="for 0..255 images pass x.float() / 255"
        )
    low, high = (bound.item() for bound in x.detach().aminmax())
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise InputError(f"images must lie in [0, 1], these run from {low:.4g} to {high:.4g}", hint=_hint(low, high))


def _shape_message(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if found[0] != expected[0]:
        return f"images have {found[0]} channels, the model takes {expected[0]}"
    return f"images are {found[1]}x{found[2]} pixels, the model takes {expected[1]}x{expected[2]}"


def _hint(low: float, high: float) -> str:
    if low != low or high != high:
        return "some values are not a number"
    if low >= 0 and 16 < high <= 256:
        return "they look like 0..255 images: divide by 255"
    if low < 0:
        return "they look normalised already: pass plain images, the model normalises inside"
    return "scale them to [0, 1]"
