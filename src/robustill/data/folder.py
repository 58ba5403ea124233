"""A tree of image files with one folder per class."""

from __future__ import annotations

from pathlib import Path

import torch

from robustill.data.columns import TEST_SPLITS
from robustill.data.encoded import EncodedSource
from robustill.data.files import FileItems, Skipped, class_folders, image_files
from robustill.data.sources import DataNotFoundError, RawData
from robustill.errors import DataError

_TRAIN = "train"


def has_class_folders(root: Path) -> bool:
    """Whether there is a folder in `root` that could be a class or `train`."""
    return bool(class_folders(root, root, Skipped()))


def has_train_folder(root: Path) -> bool:
    """Whether `root/train` holds folders."""
    return has_class_folders(root / _TRAIN)


def read_folder(root: Path, size: int | None = None) -> RawData:
    """Read `train/<class>/*` with `test/<class>/*` (or `val/`), or a single tree `<class>/*`.

    Classes are the sorted folder names. Of a single tree a fixed, stratified fifth becomes the test set.

    Raises:
        DataNotFoundError: There are no class folders.
        DataError: A class without images, a class only in the test set, or an unreadable first image.
    """
    skipped = Skipped()
    tree = root / _TRAIN if (root / _TRAIN).is_dir() else root
    folders = class_folders(tree, root, skipped)
    if not folders:
        raise DataNotFoundError(_with_notes(f"{tree}: no class folders in it", skipped))
    names = [folder.name for folder in folders]
    train = read_tree(folders, names, size, skipped)
    test = None
    if tree != root and (tests := _test_folders(root, names, skipped)):
        test = read_tree(tests, names, size, skipped, like=train)
    return RawData(root.resolve().name or "folder", str(root), train, test, tuple(names), notes=skipped.notes())


def read_tree(
    folders: list[Path],
    class_names: list[str],
    size: int | None,
    skipped: Skipped,
    like: EncodedSource | None = None,
) -> EncodedSource:
    """The images below `folders`, whose names are among `class_names`.

    Raises:
        DataError: A folder without images.
    """
    paths: list[str] = []
    labels: list[int] = []
    for folder in folders:
        found = image_files(folder, skipped)
        if not found:
            raise DataError(_with_notes(f"{folder}: no images in this class folder", skipped))
        paths += found
        labels += [class_names.index(folder.name)] * len(found)
    return EncodedSource(FileItems(paths), torch.tensor(labels, dtype=torch.int64), size, like)


def _test_folders(root: Path, class_names: list[str], skipped: Skipped) -> list[Path]:
    for name in TEST_SPLITS:
        folders = class_folders(root / name, root, skipped)
        unknown = [folder.name for folder in folders if folder.name not in class_names]
        if len(unknown) < len(folders) and unknown:
            raise DataError(f"{root / name}: class {unknown[0]!r} is not in {root / _TRAIN}")
        # A folder of other things than classes, such as unlabelled test images, is passed over.
        if folders and not unknown:
            return folders
    return []


def _with_notes(message: str, skipped: Skipped) -> str:
    notes = skipped.notes()
    return f"{message} ({'; '.join(notes)})" if notes else message
