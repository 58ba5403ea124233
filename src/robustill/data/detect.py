"""Which format a folder or file is in, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robustill.data.cifar import has_cifar10, has_cifar100, read_cifar10, read_cifar100
from robustill.data.folder import has_class_folders, has_train_folder, read_folder
from robustill.data.hub import has_saved_dataset, read_saved
from robustill.data.idx import has_idx, read_idx_folder
from robustill.data.npz import read_npz
from robustill.data.parquet import has_parquet, read_parquet_folder
from robustill.data.sources import DataNotFoundError, RawData
from robustill.data.tiny_imagenet import has_tiny_imagenet, read_tiny_imagenet
from robustill.errors import DataError


@dataclass(frozen=True)
class Format:
    """How to recognise a folder and how to read it (with a size to resize images to, or None)."""

    recognised: Callable[[Path], bool]
    read: Callable[[Path, int | None], RawData]


PARQUET = Format(has_parquet, read_parquet_folder)
IDX = Format(has_idx, lambda root, _: read_idx_folder(root))
CIFAR10 = Format(has_cifar10, lambda root, _: read_cifar10(root))
CIFAR100 = Format(has_cifar100, lambda root, _: read_cifar100(root))
TINY_IMAGENET = Format(has_tiny_imagenet, read_tiny_imagenet)
SAVED = Format(has_saved_dataset, read_saved)
TRAIN_FOLDER = Format(has_train_folder, read_folder)
_ANY_FOLDER = Format(has_class_folders, read_folder)
_ALL = (SAVED, PARQUET, IDX, CIFAR10, CIFAR100, TINY_IMAGENET, _ANY_FOLDER)


def read_formats(root: Path, formats: tuple[Format, ...], size: int | None) -> RawData | None:
    """Read `root` in the first of `formats` that recognises it; None if none does."""
    found = next((form for form in formats if form.recognised(root)), None)
    return None if found is None else found.read(root, size)


def read_path(path: Path, size: int | None = None) -> RawData:
    """Read a folder in whichever format it is, or an `.npz` file.

    Raises:
        DataNotFoundError: There is nothing at `path`, or nothing that is known.
        DataError: The data is malformed.
    """
    if path.is_file():
        if path.suffix == ".npz":
            return read_npz(path)
        raise DataError(f"{path}: not a data set", "give a folder, or an .npz file")
    if not path.is_dir():
        raise DataNotFoundError(f"{path}: there is no such folder or file")
    found = read_formats(path, _ALL, size)
    if found is None:
        raise DataNotFoundError(
            f"{path}: no data set recognised in this folder",
            "it may hold train/<class>/ image folders, IDX files, train*.parquet, CIFAR batches, "
            "or a data set written by save_to_disk",
        )
    return found
