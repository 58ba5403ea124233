"""CIFAR-10 and CIFAR-100 in their original form, the "python version" folders of pickled batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robustill.data.pickles import ByteArray, read_pickle
from robustill.data.sources import ArraySource, DataNotFoundError, RawData
from robustill.errors import DataError

_PIXELS = 3 * 32 * 32


def has_cifar10(root: Path) -> bool:
    """Whether `root` is, or holds, the folder `cifar-10-batches-py`."""
    return _folder(root, "cifar-10-batches-py", "data_batch_1") is not None


def has_cifar100(root: Path) -> bool:
    """Whether `root` is, or holds, the folder `cifar-100-python`."""
    return _folder(root, "cifar-100-python", "train") is not None


def read_cifar10(root: Path) -> RawData:
    """Read `cifar-10-batches-py` (`data_batch_1` to `_5`, `test_batch`, `batches.meta`).

    Raises:
        DataNotFoundError: A file is missing.
        DataError: A file is malformed; a pickle that is not plain data is refused, not executed.
    """
    folder = _folder(root, "cifar-10-batches-py", "data_batch_1") or root
    batches = [f"data_batch_{number}" for number in range(1, 6)]
    return _read(folder, batches, "test_batch", "labels", ("batches.meta", "label_names"))


def read_cifar100(root: Path) -> RawData:
    """Read `cifar-100-python` (`train`, `test`, `meta`) with its 100 fine labels.

    Raises:
        DataNotFoundError: A file is missing.
        DataError: A file is malformed; a pickle that is not plain data is refused, not executed.
    """
    folder = _folder(root, "cifar-100-python", "train") or root
    return _read(folder, ["train"], "test", "fine_labels", ("meta", "fine_label_names"))


def _folder(root: Path, name: str, first: str) -> Path | None:
    return next((place for place in (root / name, root) if (place / first).is_file()), None)


def _read(folder: Path, train: list[str], test: str, label_key: str, meta: tuple[str, str]) -> RawData:
    missing = [name for name in (*train, test) if not (folder / name).is_file()]
    if missing:
        raise DataNotFoundError(f"{folder}: missing {', '.join(missing)}")
    parts = [_read_batch(folder / name, label_key) for name in train]
    images, labels = (np.concatenate(found) for found in zip(*parts, strict=True))
    test_images, test_labels = _read_batch(folder / test, label_key)
    return RawData(
        name="cifar",
        location=str(folder),
        train=ArraySource(torch.from_numpy(images), torch.from_numpy(labels)),
        test=ArraySource(torch.from_numpy(test_images.copy()), torch.from_numpy(test_labels)),
        class_names=_class_names(folder / meta[0], meta[1]),
    )


def _read_batch(path: Path, label_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    found = read_pickle(path)
    labels = found.get(label_key)
    images = found.get("data")
    if not isinstance(images, ByteArray) or not _has_rows(images):
        raise DataError(f"{path}: 'data' is not an array of rows of {_PIXELS} bytes")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 100 for label in labels):
        raise DataError(f"{path}: {label_key!r} is not a list of class numbers")
    if len(labels) != len(images.array):
        raise DataError(f"{path}: {len(images.array)} images but {len(labels)} labels")
    return images.array.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _has_rows(images: ByteArray) -> bool:
    array = getattr(images, "array", None)
    return array is not None and array.ndim == 2 and array.shape[1] == _PIXELS and len(array) > 0


def _class_names(path: Path, key: str) -> tuple[str, ...]:
    names: Any = read_pickle(path).get(key, []) if path.is_file() else []
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise DataError(f"{path}: {key!r} is not a list of names")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)
