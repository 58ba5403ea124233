"""A split that is not in memory: images are read when their batch is due, by worker processes if asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from robustill.data.sources import MapStyle, read_image
from robustill.data.splits import Split
from robustill.errors import DataError, InputError, RobustillError


@final
class StreamSplit(Split):
    """A split over any map-style source; memory use does not grow with what was read.

    Args:
        source: `len(source)` and `source[i] -> (uint8 image, label)`, image [H, W], [H, W, C] or [C, H, W]. To be
            read by workers on platforms that start processes afresh, it must be picklable.
        labels: int64 [len(source)]. Default: `source.labels`, and without it every item is read once.
        indices: The rows of `source` that make up this split (default: all).
        device: Where batches come out.

    >>> import numpy as np
    >>> images = [(np.zeros((8, 8), dtype=np.uint8), k) for k in range(3)]
    >>> StreamSplit(images)
    StreamSplit(3 images, 1x8x8, cpu)
    """

    def __init__(
        self,
        source: MapStyle,
        labels: Tensor | None = None,
        indices: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if not len(source):
            raise InputError("a stream needs at least one image")
        self.source = source
        self.indices = torch.arange(len(source)) if indices is None else indices.cpu()
        self._all_labels = _labels_of(source) if labels is None else labels.to("cpu", torch.int64)
        if len(self._all_labels) != len(source):
            raise InputError(f"{len(source)} images but {len(self._all_labels)} labels", "give one label per image")
        self.labels = self._all_labels[self.indices]
        self.device = torch.device(device)
        first = read_image(source[int(self.indices[0])][0], getattr(source, "shape", None), "image 0")
        channels, height, width = first.shape
        self.shape = (channels, height, width)

    def _images(self, indices: Tensor) -> Tensor:
        rows = self.indices[indices.cpu()].tolist()
        return torch.stack([read_image(self.source[row][0], self.shape, f"image {row}") for row in rows])

    def fetch(self, batches: Sequence[Tensor], device: torch.device, workers: int = 0) -> Iterator[Tensor]:
        """The uint8 images of each batch of positions, read ahead by `workers` processes."""
        if not workers or not batches:
            for batch in batches:
                yield self._images(batch).to(device)
            return
        loader: DataLoader[Any] = DataLoader(
            _Batches(self, batches),
            batch_size=None,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            # Without a generator of its own the loader would draw from torch's global one.
            generator=torch.Generator().manual_seed(0),
        )
        loaded = iter(loader)
        while (images := _next(loaded)) is not None:
            if isinstance(images, _Failure):
                raise images.error
            yield images.to(device, non_blocking=True)

    def to(self, device: torch.device | str) -> StreamSplit:
        """This split, with batches that come out on `device`."""
        return StreamSplit(self.source, self._all_labels, self.indices, device)


class ReaderError(DataError):
    """A process that reads images died."""

    passing = True


@contextmanager
def reader_failures() -> Iterator[None]:
    """Say in one error that a process that reads images died.

    PyTorch notices that in a signal handler, so its error may come up anywhere while batches are used.

    Raises:
        ReaderError: Such a process ended.
    """
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [""])[0].strip()
        if "DataLoader worker" not in reason:
            raise
        raise _died(reason) from error


def _next(loaded: Iterator[Any]) -> Any:
    """Return the next images, None after the last ones."""
    try:
        return next(loaded, None)
    except (EOFError, ConnectionError) as error:
        # It died while it handed them over; PyTorch's own notice may come later, or never.
        raise _died(f"it closed its connection ({type(error).__name__})") from error


def _died(reason: str) -> ReaderError:
    return ReaderError(
        f"a process that reads images died: {reason}",
        "it may have run out of memory, or of shared memory: lower training.workers; what was saved is intact, go on "
        "with --resume",
    )


class _Failure:
    """An error on its way from a worker; raised as it is, where torch would wrap it into a traceback's text."""

    def __init__(self, error: RobustillError) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _failure, (type(self.error), self.error.message, self.error.hint)


def _failure(kind: type[RobustillError], message: str, hint: str | None) -> _Failure:
    return _Failure(kind(message, hint))


class _Batches(Dataset[Any]):
    """Item i is batch i, read in a worker."""

    def __init__(self, split: StreamSplit, batches: Sequence[Tensor]) -> None:
        self._split = split
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Tensor | _Failure:
        try:
            return self._split._images(self._batches[index])
        except RobustillError as error:
            return _Failure(error)


def _labels_of(source: MapStyle) -> Tensor:
    known = getattr(source, "labels", None)
    if known is not None:
        return torch.as_tensor(known).to("cpu", torch.int64)
    return torch.tensor([int(source[i][1]) for i in range(len(source))], dtype=torch.int64)
