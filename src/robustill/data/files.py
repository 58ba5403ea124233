"""Image files in folders: which are there, without being led out of the folder by a link."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robustill.data.decode import SUFFIXES


@dataclass
class Skipped:
    """What was passed over while looking for images."""

    others: int = 0
    links: int = 0

    def notes(self) -> tuple[str, ...]:
        """One sentence per kind of thing that was skipped."""
        found = [f"{self.others} files that are not images were skipped"] if self.others else []
        if self.links:
            found.append(f"{self.links} symbolic links that lead out of their folder were not followed")
        return tuple(found)


class FileItems:
    """Encoded images in files."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> tuple[Path, str]:
        return Path(self._paths[index]), self._paths[index]


def is_inside(path: str | Path, folder: str | Path) -> bool:
    """Whether `path`, with all its links resolved, is in `folder`."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def class_folders(folder: Path, root: Path, skipped: Skipped) -> list[Path]:
    """The visible folders in `folder`, by name; a link is followed only to a place inside `root`."""
    found = []
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        if place.name.startswith((".", "__")) or not place.is_dir():
            continue
        if place.is_symlink() and not is_inside(place, root):
            skipped.links += 1
        else:
            found.append(place)
    return found


def image_files(folder: Path, skipped: Skipped) -> list[str]:
    """Image files at any depth below `folder`, sorted.

    Links to files elsewhere and links to folders are not followed; they and other files are counted in `skipped`.
    """
    found: list[str] = []
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink() and (entry.is_dir() or not is_inside(entry.path, folder)):
                    skipped.links += 1
                elif entry.is_dir():
                    waiting.append(entry.path)
                elif entry.is_file() and os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    found.append(entry.path)
                else:
                    skipped.others += 1
    return sorted(found)
