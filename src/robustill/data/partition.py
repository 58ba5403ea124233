"""From what a reader found to the three splits: limit, hold out, and load into memory or stream."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from robustill.data.order import Purpose
from robustill.data.sources import ArraySource, RawData, Source, read_image
from robustill.data.splits import Split, TensorSplit
from robustill.data.stratify import held_out_count, stratified
from robustill.data.stream import StreamSplit
from robustill.errors import DataError, InputError
from robustill.progress import bar

_MEMORY_BYTES = 2_000_000_000
_SHOW_PROGRESS_FROM = 5_000
_TEST_SEED = 20_240_229  # of the test sets cut here: never the user's seed, so that results stay comparable


def make_splits(
    raw: RawData,
    *,
    validation: float | int = 0.1,
    seed: int = 0,
    limit: int | None = None,
    stream: bool | None = None,
) -> tuple[Split, Split | None, Split]:
    """Cut a data set into (train, validation or None, test).

    Args:
        raw: What a reader found.
        validation: Share (below 1) or number of training images held out, stratified; 0: none.
        seed: Decides which images are held out, and which are kept under a `limit`.
        limit: Keep at most this many training (with validation) and test images, stratified.
        stream: True: read images when they are due; False: load all; None: load when below 2 GB.

    Raises:
        InputError: An argument is out of range.
        DataError: An image cannot be read.
    """
    train, test_source, test = _train_and_test(raw)
    train = _limited(raw.train, train, limit, seed, Purpose.LIMIT_TRAIN)
    test = _limited(test_source, test, limit, seed, Purpose.LIMIT_TEST)
    labels = raw.train.labels[train]
    count = held_out_count(validation, len(train))
    rest, held = stratified(labels, count, seed, Purpose.VALIDATION)
    if stream is None:
        stream = (len(train) + len(test)) * math.prod(raw.train.shape) >= _MEMORY_BYTES
    return (
        _split(raw.train, train[rest], stream, raw.name),
        _split(raw.train, train[held], stream, raw.name) if count else None,
        _split(test_source, test, stream, raw.name),
    )


def _train_and_test(raw: RawData) -> tuple[Tensor, Source, Tensor]:
    for source, what in ((raw.train, "training"), (raw.test, "test")):
        if source is not None and not len(source):
            raise DataError(f"{raw.name}: there are no {what} images in {raw.location}")
    everything = torch.arange(len(raw.train))
    if raw.test is not None:
        if raw.test.shape != raw.train.shape:
            raise DataError(f"{raw.name}: test images are {raw.test.shape}, training images {raw.train.shape}")
        return everything, raw.test, torch.arange(len(raw.test))
    if len(raw.train) < 2:
        raise DataError(f"{raw.name}: one image cannot be split into training and test images")
    count = held_out_count(raw.holdout, len(raw.train), "the test share")
    train, test = stratified(raw.train.labels, count, _TEST_SEED, Purpose.TEST)
    return train, raw.train, test


def _limited(source: Source, indices: Tensor, limit: int | None, seed: int, purpose: Purpose) -> Tensor:
    if limit is None:
        return indices
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InputError(f"limit is {limit!r}; it must be a number of images, 1 or more")
    if limit >= len(indices):
        return indices
    return indices[stratified(source.labels[indices], limit, seed, purpose)[1]]


def _split(source: Source, indices: Tensor, stream: bool, name: str) -> Split:
    if stream:
        return StreamSplit(source, indices=indices)
    return TensorSplit(_load(source, indices, name), source.labels[indices], indices)


def _load(source: Source, indices: Tensor, name: str) -> Tensor:
    if isinstance(source, ArraySource):
        return source.images[indices]
    images = torch.from_numpy(np.empty((len(indices), *source.shape), dtype=np.uint8))
    with bar(f"reading {name}", len(indices), show=len(indices) >= _SHOW_PROGRESS_FROM) as shown:
        for position, row in enumerate(indices.tolist()):
            images[position] = read_image(source[row][0], source.shape, f"image {row}")
            shown.advance()
    return images
