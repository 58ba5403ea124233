"""A source of encoded images (files, or rows of a table), each decoded when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustill.data.decode import color_mode, decode
from robustill.data.sources import Shape
from robustill.errors import DataError, InputError


class Items(Protocol):
    """Encoded images: `items[i]` is (bytes or file, name for errors)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[bytes | Path, str]: ...


class EncodedSource:
    """Decodes `items[i]`; all images get the mode of the first and must have its shape.

    Args:
        items: Encoded images.
        labels: int64 [len(items)].
        size: Resize every image to size x size.
        like: Take mode and shape from this source (the training images) instead of the first image.

    Raises:
        DataError: There is no image, or the first one is not readable.
    """

    def __init__(
        self, items: Items, labels: Tensor, size: int | None = None, like: EncodedSource | None = None
    ) -> None:
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 4096):
            raise InputError(f"size is {size!r}; it must be a number of pixels, 1 to 4096")
        self.items = items
        self.labels = labels
        self.size = size
        self.mode: str
        self.shape: Shape
        if like is not None:
            self.mode, self.shape = like.mode, like.shape
        else:
            data, where = items[0]
            self.mode = color_mode(data, where)
            channels, height, width = decode(data, where, self.mode, size).shape
            self.shape = (channels, height, width)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.uint8], int]:
        data, where = self.items[index]
        image = decode(data, where, self.mode, self.size)
        if image.shape != self.shape:
            found, first = (f"{w}x{h}" for _, h, w in (image.shape, self.shape))
            raise DataError(
                f"{where}: the image is {found}, the first one {first}",
                "pass size (pixels) to bring all images to one size",
            )
        return image, int(self.labels[index])
