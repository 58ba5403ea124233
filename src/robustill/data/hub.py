"""Hugging Face `datasets`: saved on disk, or by identifier (extra `hub`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustill.data.columns import IMAGE_COLUMNS, LABEL_COLUMNS, pick, pick_test
from robustill.data.encoded import EncodedSource
from robustill.data.sources import DataNotFoundError, RawData
from robustill.errors import DataError, MissingExtraError, RobustillError


def has_saved_dataset(root: Path) -> bool:
    """Whether `root` was written by `save_to_disk`."""
    return (root / "dataset_dict.json").is_file() or (root / "state.json").is_file()


def read_saved(root: Path, size: int | None = None) -> RawData:
    """Read what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote; it stays memory-mapped.

    Raises:
        MissingExtraError: `datasets` is not installed.
        DataNotFoundError: `root` holds no saved data set.
        DataError: It cannot be read, or has no images and labels.
    """
    datasets = _datasets()
    if not has_saved_dataset(root):
        raise DataNotFoundError(f"{root}: no data set saved with save_to_disk")
    try:
        found = datasets.load_from_disk(str(root))
    # Errors of pyarrow, fsspec and datasets itself have no common base.
    except Exception as problem:
        raise DataError(f"{root}: the saved data set cannot be read ({_first_line(problem)})") from problem
    return _checked(found, root.name, str(root), size)


def read_hub(identifier: str, size: int | None = None) -> RawData:
    """Load a data set of the Hugging Face hub, downloading it if it is not in the local cache.

    Raises:
        MissingExtraError: `datasets` is not installed.
        DataError: No network, no such data set, or one without images and labels.
    """
    datasets = _datasets()
    if not identifier:
        raise DataError("hf-hub: needs an identifier", "for example hf-hub:uoft-cs/cifar10")
    try:
        found = datasets.load_dataset(identifier)
    # Errors of the network stack, the hub client and datasets itself have no common base.
    except Exception as problem:
        raise DataError(
            f"hf-hub:{identifier} cannot be loaded ({type(problem).__name__}: {_first_line(problem)})",
            "check the identifier and the network; or, where there is a network, load it, call "
            "save_to_disk(PATH), bring the folder here and use hf-disk:PATH",
        ) from problem
    return _checked(found, identifier, f"hf-hub:{identifier}", size)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as problem:
        raise MissingExtraError(
            "Hugging Face data needs the package datasets", 'pip install "robustill[hub]"'
        ) from problem
    return datasets


def _checked(found: Any, name: str, location: str, size: int | None) -> RawData:
    try:
        return _read(found, name, location, size)
    except RobustillError:
        raise
    except Exception as problem:
        raise DataError(f"{location}: no data set of images and labels ({_first_line(problem)})") from problem


def _read(found: Any, name: str, location: str, size: int | None) -> RawData:
    splits = dict(found) if isinstance(found, dict) else {"train": found}
    if "train" not in splits:
        raise DataError(f"{location}: no split 'train'; there are {', '.join(sorted(splits))}")
    test = pick_test(splits)
    items, labels, names = _open_split(splits["train"], f"{location}, train")
    train = EncodedSource(items, labels, size)
    test_source = None
    if test is not None:
        test_items, test_labels, _ = _open_split(splits[test], f"{location}, {test}")
        test_source = EncodedSource(test_items, test_labels, size, like=train)
    return RawData(name, location, train, test_source, names)


class TableItems:
    """Encoded images in an image column of a `datasets.Dataset`."""

    def __init__(self, table: Any, column: str, where: str) -> None:
        self._table = table
        self._column = column
        self._where = where

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int, /) -> tuple[bytes, str]:
        where = f"{self._where}, row {index}"
        try:
            data = (self._table[index][self._column] or {}).get("bytes")
        # As in `read_saved`: a damaged table may raise anything.
        except Exception as problem:
            raise DataError(f"{where}: cannot be read ({_first_line(problem)})") from problem
        if not isinstance(data, bytes):
            raise DataError(f"{where}: no image bytes", "store the images in the data set, not their paths")
        return data, where


def _open_split(table: Any, where: str) -> tuple[TableItems, Tensor, tuple[str, ...]]:
    datasets = _datasets()
    image = pick(table.column_names, IMAGE_COLUMNS, "image", where)
    label = pick(table.column_names, LABEL_COLUMNS, "label", where)
    if not isinstance(table.features[image], datasets.Image):
        raise DataError(f"{where}: column {image!r} does not hold images")
    if not len(table):
        raise DataError(f"{where}: no rows")
    values = np.asarray(table.select_columns([label]).with_format("numpy")[:][label])
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise DataError(f"{where}: column {label!r} does not hold one integer per image")
    encoded = table.with_format(None).select_columns([image]).cast_column(image, datasets.Image(decode=False))
    names = tuple(getattr(table.features[label], "names", None) or ())
    return TableItems(encoded, image, where), torch.from_numpy(values.astype(np.int64)), names


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), "no details")[:300]
