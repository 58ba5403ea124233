"""Rows of an earlier run's tables, for cells that are not here: a published table is gone on with, not begun again."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robustill.errors import CheckpointError
from robustill.study.cells import Cell
from robustill.study.folder import Store
from robustill.study.results import ADDRESS
from robustill.writing import make_folder, write_whole

Rows = list[dict[str, Any]]
MAIN = "results.csv"
_MORE = {"calibrate": "calibration", "landscape": "landscape"}
"""Tables of what else a cell may be asked."""
_NEEDED = {
    MAIN: ("run", "seed", "student", "attack", "images", "accuracy", "wra", "cell", "address"),
    "calibration.csv": (
        "run", "seed", "eps", "calibration_found", "calibration_certified", "agreement_found", "agreement_certified",
    ),
    "landscape.csv": ("run", "seed", "radius", "loss", "rise", "robust_drop"),
    "curves.csv": ("run", "seed", "epoch", "kind", "term", "value"),
}  # fmt: skip
# Confidences are not certified where no bounds are asked for, and agreement is not where nothing is.
_MAY_LACK = ("wra", "calibration_found", "calibration_certified", "agreement_found", "agreement_certified")
_TEXT = frozenset((
    "run", "student", "attack", "method", "architecture", "data", "norm", "teachers", "cell", "address", "kind", "term",
))  # fmt: skip


class Earlier:
    """The tables in a folder, as far as they are of a study's cells and hold all that those are asked.

    Args:
        folder: Holds `results.csv`, and the other tables where there are such; None for no earlier run.
        cells: One for each row and seed of the study.
        store: Where they live; what it has a result of is not taken from the folder.
        first: Take from the folder what the store has too.

    Raises:
        CheckpointError: `results.csv` is missing or no such table.
    """

    def __init__(self, folder: Path | None, cells: Sequence[Cell], store: Store, *, first: bool = False) -> None:
        self.folder = folder
        theirs: dict[tuple[str, int], Rows] = {}
        for row in [] if folder is None else read_table(folder / MAIN):
            theirs.setdefault((row["run"], row["seed"]), []).append(row)
        self._theirs, self._order = theirs, [_key(cell) for cell in cells]
        more = {} if folder is None else {name: _places(folder / f"{file}.csv") for name, file in _MORE.items()}
        self._taken = {
            _key(cell)
            for cell in cells
            if _same(theirs.get(_key(cell), []), cell)
            and all(_key(cell) in places for name, places in more.items() if cell.measures.get(name) is not None)
            and (first or store.result(cell) is None)
        }

    def has(self, cell: Cell) -> bool:
        """Return whether a cell's rows are taken from here."""
        return _key(cell) in self._taken

    def rows(self, cell: Cell) -> Rows:
        """Return the rows of a cell in `results.csv`; none if it is not taken from here."""
        return self._theirs[_key(cell)] if self.has(cell) else []

    def names(self) -> list[str]:
        """Return the rows that are taken from here, each with its seeds."""
        seeds: dict[str, list[str]] = {}
        for run, seed in filter(self._taken.__contains__, self._order):
            seeds.setdefault(run, []).append(str(seed))
        return [f"{run} (seed {', '.join(found)})" for run, found in seeds.items()]

    def under(self, name: str, rows: Iterable[dict[str, Any]]) -> Rows:
        """Return `rows` and the earlier ones of the table `name`, in the order of the study."""
        ours = list(rows)
        path = None if self.folder is None else self.folder / name
        if path is None or not self._taken or not path.is_file():
            return ours
        theirs = [row for row in read_table(path) if _place(row) in self._taken]
        _alike(path, theirs, ours)
        known = {_place(row) for row in theirs}
        found = [*theirs, *(row for row in ours if _place(row) not in known)]
        columns = dict.fromkeys(key for row in found for key in row)
        place = {key: index for index, key in enumerate(self._order)}
        found.sort(key=lambda row: place[_place(row)])
        return [{column: row.get(column) for column in columns} for row in found]

    def copy(self, name: str, out: Path) -> None:
        """Copy what can be made of cells alone to `out`, unless there is one of the cells that are here."""
        if self.folder is not None and self._taken and (self.folder / name).is_file() and not (out / name).is_file():
            make_folder((out / name).parent)
            write_whole(out / name, [(self.folder / name).read_bytes()])


def read_table(path: Path) -> Rows:
    """Return a table of a study with its numbers as numbers; an empty cell is None.

    Args:
        path: A file that `robustill study` has written, by its name there.

    Raises:
        CheckpointError: It cannot be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a study's table: {error}", _hint()) from error
    needed = _NEEDED[path.name]
    if lacking := [name for name in needed if not lines or name not in lines[0]]:
        raise CheckpointError(f"{path} is not a study's table: it has no {', '.join(lacking)}", _hint())
    found = []
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            raise CheckpointError(f"{path}, line {number}: not as many values as columns", _hint())
        found.append({key: _value(key, text) for key, text in line.items()})
        if wrong := [name for name in needed if not _fits(name, found[-1][name])]:
            raise CheckpointError(f"{path}, line {number}: {wrong[0]} is {line[wrong[0]]!r}", _hint())
    return found


def _fits(column: str, value: Any) -> bool:
    if column in _TEXT:
        return value is not None
    if column == "seed":
        return isinstance(value, int)
    if column in ("accuracy", "wra") and value is not None:
        return isinstance(value, int | float) and 0 <= value <= 1
    return isinstance(value, int | float) or (value is None and column in _MAY_LACK)


def _same(rows: Rows, cell: Cell) -> bool:
    """Return whether rows are of this training and of what is asked of it, with all students and attacks."""
    asked = cell.measures["evaluate"]
    students = ("best", "last") if asked["last"] else ("best",)
    entries = {(student, attack) for student in students for attack in ("clean", "robust", *asked["attacks"])}
    return {(row["student"], row["attack"]) for row in rows} == entries and all(
        row["address"] == cell.address[:ADDRESS] for row in rows
    )


def _alike(path: Path, theirs: Rows, ours: Rows) -> None:
    """A study that asks for all images does not say how many those are."""
    numbers = [{row["images"] for row in rows if row.get("images") is not None} for rows in (theirs, ours)]
    if all(numbers) and numbers[0] != numbers[1]:
        counts = [", ".join(map(str, sorted(each))) for each in numbers]
        raise CheckpointError(
            f"{path} is about {counts[0]} images, the cells here about {counts[1]}", "evaluate both on as many images"
        )


def _places(path: Path) -> set[tuple[Any, Any]]:
    return {_place(row) for row in read_table(path)} if path.is_file() else set()


def _hint() -> str:
    return f"name the folder of a study's tables, with its {MAIN}"


def _key(cell: Cell) -> tuple[str, int]:
    return cell.variant.name, cell.seed


def _place(row: dict[str, Any]) -> tuple[Any, Any]:
    return row.get("run"), row.get("seed")


def _value(column: str, text: str) -> Any:
    if text == "":
        return None
    for kind in () if column in _TEXT else (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
