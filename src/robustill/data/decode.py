"""Encoded images (JPEG, PNG, ...) to uint8 arrays; whatever is wrong with one becomes an error that names it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from robustill.errors import DataError, RobustillError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "WEBP")
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"))
_MAX_PIXELS = 2**26
_GRAY = frozenset(("1", "L", "LA", "La"))


def color_mode(data: bytes | Path, where: str) -> str:
    """How an image is to be decoded: "L" for a grayscale image, "RGB" for any other.

    Raises:
        DataError: Not an image that can be read.
    """
    with _opened(data, where) as image:
        return "L" if image.mode in _GRAY else "RGB"


def decode(data: bytes | Path, where: str, mode: str, size: int | None = None) -> NDArray[np.uint8]:
    """Decode one image: uint8 [C, H, W], C = 1 for mode "L" and 3 for "RGB".

    Args:
        data: The encoded bytes, or the file that holds them.
        where: Named in errors.
        mode: "L" or "RGB"; other images are converted.
        size: Resize to size x size (the aspect ratio is not kept).

    Raises:
        DataError: Not a readable image, more than 8 bits per channel, or above 67 million pixels.
    """
    with _opened(data, where) as image:
        # Pillow warns when the transparency of a palette is dropped in one step.
        whole = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
        shown = whole if whole.mode == mode else whole.convert(mode)
        if size is not None and shown.size != (size, size):
            shown = shown.resize((size, size), Image.Resampling.BILINEAR)
        pixels = np.array(shown, dtype=np.uint8)
    return pixels[None] if mode == "L" else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _is_deep(image: Image.Image) -> bool:
    """Whether a colour image has 16 bits per channel, of which Pillow silently keeps eight."""
    kinds = [tile[3] for tile in getattr(image, "tile", ())]
    if image.format == "PPM":
        return any(isinstance(kind, tuple) and isinstance(kind[-1], int) and kind[-1] > 255 for kind in kinds)
    return any(isinstance(kind, str) and ";16" in kind for kind in kinds)


@contextmanager
def _opened(data: bytes | Path, where: str) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise DataError(f"{where}: {image.width}x{image.height} pixels are too many to decode")
            if image.mode[0] in "IF" or _is_deep(image):
                raise DataError(f"{where}: more than 8 bits per channel", "convert the images to 8 bits")
            yield image
    except RobustillError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise DataError(f"{where}: too many pixels to decode ({problem})") from problem
    # A decoder fed with garbage may raise anything (OSError, SyntaxError, struct.error, ...).
    except Exception as problem:
        reason = "unknown format" if isinstance(problem, UnidentifiedImageError) else problem
        raise DataError(f"{where}: not a readable image ({reason})") from problem
