"""One part of a data set (train, validation or test): `Split`, and its form in memory, `TensorSplit`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self, final

import torch
from torch import Tensor

from robustill.data.sources import Shape
from robustill.errors import InputError


class Split(ABC):
    """Labelled images with a fixed order.

    Attributes:
        labels: int64 [N] on the CPU.
        indices: int64 [N], the row of each image in the source it was taken from.
        shape: (C, H, W).
        device: Where batches come out when no device is asked for.

    >>> from robustill.data import load_data
    >>> split = load_data("digits").test
    >>> split, next(iter(split.batches(32)))[0].shape
    (TensorSplit(360 images, 1x8x8, cpu), torch.Size([32, 1, 8, 8]))
    """

    labels: Tensor
    indices: Tensor
    shape: Shape
    device: torch.device

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images, {'x'.join(map(str, self.shape))}, {self.device})"

    def batches(
        self, batch_size: int, device: torch.device | str | None = None, start: int = 0, workers: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in order, for evaluation; see `batches_in_order`."""
        return batches_in_order(self, batch_size, device, start, workers)

    def images(self, indices: Tensor) -> Tensor:
        """The images at positions `indices` (int64 [B], 0..N-1) of this split: uint8 [B, C, H, W].

        Raises:
            InputError: A position is outside the split.
        """
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= len(self)):
            raise InputError(f"image positions must be within 0..{len(self) - 1} of this split")
        return self._images(indices)

    @abstractmethod
    def _images(self, indices: Tensor) -> Tensor: ...

    @abstractmethod
    def fetch(self, batches: Sequence[Tensor], device: torch.device, workers: int = 0) -> Iterator[Tensor]:
        """The uint8 images of each batch of positions, on `device`, in the order given."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """This split on `device`."""


@final
class TensorSplit(Split):
    """A split in memory.

    Args:
        images: uint8 [N, C, H, W]; the device they are on is the split's device.
        labels: int64 [N].
        indices: Rows in the source (default 0..N-1).

    >>> import torch
    >>> split = TensorSplit(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    >>> split
    TensorSplit(3 images, 1x8x8, cpu)
    """

    def __init__(self, images: Tensor, labels: Tensor, indices: Tensor | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or len(images) != len(labels):
            raise InputError(
                f"a split needs uint8 images [N, C, H, W] and N labels, got {images.dtype} "
                f"{tuple(images.shape)} and {len(labels)} labels"
            )
        self._pixels = images
        self.labels = labels.to("cpu", torch.int64)
        self.indices = torch.arange(len(labels)) if indices is None else indices.cpu()
        channels, height, width = images.shape[1:]
        self.shape = (channels, height, width)
        self.device = images.device

    def _images(self, indices: Tensor) -> Tensor:
        return self._pixels[indices.to(self.device)]

    def fetch(self, batches: Sequence[Tensor], device: torch.device, workers: int = 0) -> Iterator[Tensor]:
        """The uint8 images of each batch of positions; `workers` has no use here."""
        for batch in batches:
            yield self._images(batch).to(device)

    def to(self, device: torch.device | str) -> TensorSplit:
        """This split with its images on `device` (the labels stay on the CPU)."""
        return TensorSplit(self._pixels.to(device), self.labels, self.indices)


def batches_in_order(
    split: Split,
    batch_size: int,
    device: torch.device | str | None = None,
    start: int = 0,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a split in its own order, from batch `start` on.

    Args:
        split: What to read.
        batch_size: Images per batch; the last batch may be smaller.
        device: Where the batches go (default: the split's device).
        start: Number of batches to leave out (they are not loaded).
        workers: Processes that read images, for splits that are not in memory.

    Returns:
        Pairs of x float32 [B, C, H, W] in [0, 1] and y int64 [B].

    Raises:
        InputError: `batch_size`, `start` or `workers` is out of range.

    >>> from robustill.data import load_data
    >>> [len(y) for _, y in batches_in_order(load_data("digits").test, 200)]
    [200, 160]
    """
    batches = batches_of(torch.arange(len(split)), batch_size, start, workers)
    place = split.device if device is None else torch.device(device)
    return _in_order(split, batches, place, workers)


def _in_order(
    split: Split, batches: Sequence[Tensor], device: torch.device, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    for batch, images in zip(batches, split.fetch(batches, device, workers), strict=True):
        yield to_unit(images), split.labels[batch].to(device)


def batches_of(order: Tensor, batch_size: int, start: int = 0, workers: int = 0) -> Sequence[Tensor]:
    """Cut an order of positions into batches and leave out the first `start`.

    Raises:
        InputError: `batch_size` below 1, `workers` below 0, or `start` outside 0..number of batches.
    """
    for label, value, least in (("batch_size", batch_size, 1), ("start", start, 0), ("workers", workers, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{label} is {value!r}; it must be an integer of {least} or more")
    batches = list(torch.split(order, batch_size)) if len(order) else []
    if start > len(batches):
        raise InputError(f"start is {start}, but there are only {len(batches)} batches of {batch_size}")
    return batches[start:]


def to_unit(images: Tensor) -> Tensor:
    """Uint8 images as float32 in [0, 1]."""
    return images.to(torch.float32).div_(255)
