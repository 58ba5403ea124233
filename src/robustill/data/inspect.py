"""What is in a data set and what is wrong with it, for `doctor`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from robustill.data import read_data
from robustill.data.dataset import Data
from robustill.data.partition import make_splits
from robustill.data.scan import Scan, scan_images
from robustill.data.sources import DataNotFoundError
from robustill.errors import MissingExtraError, RobustillError

_SHOWN = 10
_IMBALANCE = 10


@dataclass(frozen=True)
class DataReport:
    """What `inspect_data` found; fields it did not get to are empty.

    Args:
        name: The data set.
        location: Where it was read from.
        found: Whether there is data at all.
        problems: What is wrong, one sentence each; empty if nothing is.
        notes: Things worth knowing that are no problem.
        classes: Class names.
        shape: (C, H, W).
        counts: Images per split.
        per_class: For each split, images per class.
        mean: Mean of the training pixels in [0, 1], per channel.
        std: Their standard deviation, per channel.
        duplicates: Test images whose pixels are also those of a training or validation image.
        in_memory_bytes: Size of all splits as uint8.
    """

    name: str
    location: str = ""
    found: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    per_class: dict[str, list[int]] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    duplicates: int | None = None
    in_memory_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for a JSON file."""
        found = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}

    def rows(self) -> list[tuple[str, str]]:
        """Label and text of each line of a table."""
        found = [("data", self.name), ("found", f"yes, {self.location}" if self.found else "no")]
        if self.counts:
            found += self._content_rows()
        found += [("note", note) for note in self.notes]
        found += [("problem", problem) for problem in self.problems] or [("problems", "none")]
        return found

    def _content_rows(self) -> list[tuple[str, str]]:
        balance = [f"{part} {min(counts)} to {max(counts)}" for part, counts in self.per_class.items()]
        found = [
            ("classes", f"{len(self.classes)}: {', '.join(self.classes[:10])}{' ...' * (len(self.classes) > 10)}"),
            ("shape", "x".join(map(str, self.shape))),
            ("images", ", ".join(f"{part} {count}" for part, count in self.counts.items())),
            ("images per class", ", ".join(balance)),
            ("in memory", f"{self.in_memory_bytes / 1e6:.1f} MB"),
        ]
        if self.mean:
            found.append(("pixel mean", ", ".join(f"{value:.4f}" for value in self.mean)))
            found.append(("pixel std", ", ".join(f"{value:.4f}" for value in self.std)))
        if self.duplicates is not None:
            found.append(("test images also in training", str(self.duplicates)))
        return found


def inspect_data(
    name: str,
    root: str | Path | None = None,
    *,
    validation: float | int = 0.1,
    seed: int = 0,
    size: int | None = None,
    limit: int | None = None,
) -> DataReport:
    """Read a data set through and report what it holds; bad data is reported, not raised.

    Takes what `load_data` takes. Every image is decoded once, without keeping it.
    """
    try:
        raw = read_data(name, root, size=size)
        parts = make_splits(raw, validation=validation, seed=seed, limit=limit, stream=True)
        data = Data(raw.name, raw.class_names, *parts, augment=raw.augment)
    except RobustillError as problem:
        found = not isinstance(problem, DataNotFoundError | MissingExtraError)
        return DataReport(name, str(root or ""), found=found, problems=[str(problem)])
    return _report(data, raw.location, list(raw.notes))


def _report(data: Data, location: str, notes: list[str]) -> DataReport:
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    present = {part: split for part, split in splits.items() if split is not None}
    counts = {part: len(split) for part, split in present.items()}
    per_class = {
        part: torch.bincount(split.labels, minlength=data.num_classes).tolist() for part, split in present.items()
    }
    scanned = scan_images(present)
    return DataReport(
        name=data.name,
        location=location,
        found=True,
        problems=[*_class_problems(data.class_names, per_class), *_image_problems(scanned)],
        notes=notes,
        classes=data.class_names,
        shape=data.shape,
        counts=counts,
        per_class=per_class,
        mean=scanned.moments.mean(),
        std=scanned.moments.std(),
        duplicates=scanned.duplicates,
        in_memory_bytes=sum(counts.values()) * math.prod(data.shape),
    )


def _image_problems(scanned: Scan) -> Iterator[str]:
    yield from scanned.unreadable[:_SHOWN]
    if len(scanned.unreadable) > _SHOWN:
        yield f"{len(scanned.unreadable) - _SHOWN} more images cannot be read"
    if scanned.duplicates:
        yield f"{scanned.duplicates} test images are also training images, so test results are too good"
    if scanned.moments.pixels and any(value == 0 for value in scanned.moments.std()):
        yield "a colour channel is the same in every training image"


def _class_problems(names: tuple[str, ...], per_class: dict[str, list[int]]) -> Iterator[str]:
    for part in ("train", "test"):
        empty = tuple(names[label] for label, count in enumerate(per_class[part]) if not count)
        if empty:
            shown = ", ".join(empty[:_SHOWN]) + " ..." * (len(empty) > _SHOWN)
            # The number 0 as a name is a class that only the numbering made.
            from_one = "; labels start at 0: subtract 1 if these start at 1" if empty == names[:1] == ("0",) else ""
            have = "classes have" if len(empty) > 1 else "class has"
            yield f"{len(empty)} {have} no {part} image: {shown}{from_one}"
    smallest, largest = min(per_class["train"]), max(per_class["train"])
    if largest > _IMBALANCE * smallest > 0:
        yield f"unbalanced classes: {smallest} to {largest} training images"
    if len(set(names)) < len(names):
        yield "two classes have the same name"
