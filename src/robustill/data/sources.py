"""What a reader hands over: sources of uint8 images, read one by one or held as an array."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustill.data.augment import Augment
from robustill.errors import DataError

Shape = tuple[int, int, int]


class DataNotFoundError(DataError):
    """There is no data where it was looked for (as opposed to data that is there and malformed).

    >>> from robustill.data import load_data
    >>> try:
    ...     load_data("digit")
    ... except DataNotFoundError as error:
    ...     print(error)
    there is no data set 'digit'
      hint: did you mean 'digits'?; a path to a folder does as well
    """


class MapStyle(Protocol):
    """The least a stream needs: a length and `source[i] -> (uint8 image, label)`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, int]: ...


class Source(Protocol):
    """A map-style source that knows its labels and its shape without decoding everything."""

    @property
    def labels(self) -> Tensor:
        """All labels, int64 [N]."""
        ...

    @property
    def shape(self) -> Shape:
        """(C, H, W) of every image."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor | NDArray[np.uint8], int]: ...


class ArraySource:
    """Images that are an array already: uint8 [N, C, H, W] with labels int64 [N]."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    @property
    def shape(self) -> Shape:
        """(C, H, W) of every image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int, /) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


@dataclass(frozen=True)
class RawData:
    """A data set as found: before the validation split, before anything is decoded.

    Args:
        name: What to call it.
        location: Folder, file or identifier it was read from.
        train: Training images (the validation split is taken from them later).
        test: Test images; None: `holdout` of `train`, always the same ones, becomes the test set.
        class_names: One per class; empty when the data does not say.
        augment: What is done to training images unless the user says otherwise.
        notes: Things worth knowing that are no errors, such as skipped files.
        holdout: Share or number of `train` used as the test set when `test` is None.
    """

    name: str
    location: str
    train: Source
    test: Source | None
    class_names: tuple[str, ...] = ()
    augment: Augment = field(default_factory=Augment)
    notes: tuple[str, ...] = ()
    holdout: float | int = 0.2


def read_image(image: Any, shape: Shape | None, where: str) -> Tensor:
    """One image of a map-style source as uint8 [C, H, W]; [H, W] and [H, W, C] are accepted.

    Raises:
        DataError: Not uint8, not an image's shape, or not `shape`.
    """
    pixels = image if isinstance(image, Tensor) else torch.from_numpy(np.array(image))
    if pixels.dtype != torch.uint8 or pixels.ndim not in (2, 3):
        raise DataError(f"{where}: expected a uint8 image, got {pixels.dtype} of shape {tuple(pixels.shape)}")
    if pixels.ndim == 2:
        pixels = pixels[None]
    elif tuple(pixels.shape) != shape and pixels.shape[0] not in (1, 3) and pixels.shape[2] in (1, 3):
        pixels = pixels.permute(2, 0, 1)
    if shape is not None and tuple(pixels.shape) != shape:
        raise DataError(f"{where}: shape {tuple(pixels.shape)} differs from {shape} of the first image")
    return pixels
