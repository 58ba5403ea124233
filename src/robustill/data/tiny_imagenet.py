"""Tiny-ImageNet as it is distributed: train/<wnid>/images, val/images with annotations, words.txt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from robustill.data.encoded import EncodedSource
from robustill.data.files import FileItems, Skipped, class_folders, is_inside
from robustill.data.folder import has_train_folder, read_tree
from robustill.data.sources import DataNotFoundError, RawData
from robustill.errors import DataError

_ANNOTATIONS = "val_annotations.txt"


def has_tiny_imagenet(root: Path) -> bool:
    """Whether `root` looks like Tiny-ImageNet: class folders in `train`, and its annotations or word list."""
    marks = (root / "val" / _ANNOTATIONS, root / "words.txt", root / "wnids.txt")
    return has_train_folder(root) and any(mark.is_file() for mark in marks)


def read_tiny_imagenet(root: Path, size: int | None = None) -> RawData:
    """Read the training images and, as the test set, the validation images (the test images have no labels).

    Raises:
        DataNotFoundError: The folder `train` or `val` is missing.
        DataError: An annotation that fits no class or file, or a class without images.
    """
    skipped = Skipped()
    folders = class_folders(root / "train", root, skipped)
    wnids = [folder.name for folder in folders]
    if not wnids:
        raise DataNotFoundError(f"{root}: no class folders in train/")
    train = read_tree(folders, wnids, size, skipped)
    annotations = root / "val" / _ANNOTATIONS
    if annotations.is_file():
        test = _annotated(annotations, wnids, size, train)
    else:
        test_folders = [folder for folder in class_folders(root / "val", root, skipped) if folder.name in wnids]
        if not test_folders:
            raise DataNotFoundError(f"{root}: neither {_ANNOTATIONS} nor class folders in val/")
        test = read_tree(test_folders, wnids, size, skipped, like=train)
    names = _names(root / "words.txt", wnids)
    return RawData("tiny-imagenet", str(root), train, test, names, notes=skipped.notes())


def _annotated(annotations: Path, wnids: list[str], size: int | None, train: EncodedSource) -> EncodedSource:
    images = annotations.parent / "images"
    paths: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(_lines(annotations), 1):
        fields = line.split("\t")
        where = f"{annotations}, line {number}"
        if len(fields) < 2 or fields[1] not in wnids:
            raise DataError(f"{where}: expected a file name and the name of a folder in train/, got {line[:80]!r}")
        path = images / fields[0]
        if Path(fields[0]).name != fields[0] or not path.is_file() or not is_inside(path, images):
            raise DataError(f"{where}: there is no image {fields[0]!r} in {images}")
        paths.append(str(path))
        labels.append(wnids.index(fields[1]))
    if not paths:
        raise DataError(f"{annotations}: no annotations")
    return EncodedSource(FileItems(paths), torch.tensor(labels, dtype=torch.int64), size, like=train)


def _names(words: Path, wnids: list[str]) -> tuple[str, ...]:
    """The first word of each class; where two classes share it ("crane"), with the class folder's name."""
    pairs = (line.split("\t", 1) for line in (_lines(words) if words.is_file() else []))
    known = {pair[0]: pair[1].split(",")[0].strip() for pair in pairs if len(pair) == 2}
    found = [known.get(wnid) or wnid for wnid in wnids]
    uses = Counter(found)
    return tuple(name if uses[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(found, wnids, strict=True))


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path}: not a text file that can be read ({problem})") from problem
