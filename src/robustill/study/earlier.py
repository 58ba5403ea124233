"""Rows of an earlier run's tables, for cells that are not here: a published table is gone on with, not begun again."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robustill.errors import CheckpointError
from robustill.study.cells import Cell
from robustill.study.folder import Store

Rows = list[dict[str, Any]]
MAIN = "results.csv"
_NEEDED = {"run", "seed", "student", "attack", "accuracy", "wra", "cell"}
_TEXT = frozenset(
    ("run", "student", "attack", "method", "architecture", "data", "norm", "teachers", "cell", "kind", "term")
)


class Earlier:
    """The tables in a folder, as far as they are of a study's cells, attacked alike.

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
        for row in [] if folder is None else _main(folder / MAIN):
            theirs.setdefault((row["run"], row["seed"]), []).append(row)
        self._theirs, self._order = theirs, [_key(cell) for cell in cells]
        self._taken = {
            _key(cell)
            for cell in cells
            if _same(theirs.get(_key(cell), []), cell) and (first or store.result(cell) is None)
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
        theirs = [row for row in read_csv(path) if _place(row) in self._taken]
        _alike(path, theirs, ours)
        known = {_place(row) for row in theirs}
        found = [*theirs, *(row for row in ours if _place(row) not in known)]
        columns = dict.fromkeys(key for row in found for key in row)
        place = {key: index for index, key in enumerate(self._order)}
        found.sort(key=lambda row: place[_place(row)])
        return [{column: row.get(column) for column in columns} for row in found]


def read_csv(path: Path) -> Rows:
    """Return a table of a study with its numbers as numbers; an empty cell is None.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a study's table: {error}", _hint()) from error
    for number, row in enumerate(lines, start=2):
        if None in row or None in row.values():
            raise CheckpointError(f"{path}, line {number}: not as many values as columns", _hint())
    return [{key: _value(key, text) for key, text in row.items()} for row in lines]


def _main(path: Path) -> Rows:
    rows = read_csv(path)
    if lacking := sorted(_NEEDED - rows[0].keys() if rows else _NEEDED):
        raise CheckpointError(f"{path} is not a study's table: it has no {', '.join(lacking)}", _hint())
    for number, row in enumerate(rows, start=2):
        good = isinstance(row["seed"], int) and isinstance(row["accuracy"], int | float) and 0 <= row["accuracy"] <= 1
        if not good:
            raise CheckpointError(f"{path}, line {number}: seed {row['seed']!r}, accuracy {row['accuracy']!r}", _hint())
    return rows


def _same(rows: Rows, cell: Cell) -> bool:
    """Return whether rows are of this training, and of the same attacks on as many images."""
    asked = cell.measures["evaluate"]
    wanted = {"cell": cell.folder} | {
        key: asked[key] for key in ("eps", "norm", "images") if asked.get(key) is not None
    }
    return {row["attack"] for row in rows} == {"clean", "robust", *asked["attacks"]} and all(
        row.get(key) == value for row in rows for key, value in wanted.items()
    )


def _alike(path: Path, theirs: Rows, ours: Rows) -> None:
    """A study that asks for all images does not say how many those are."""
    numbers = [{row["images"] for row in rows if row.get("images") is not None} for rows in (theirs, ours)]
    if all(numbers) and numbers[0] != numbers[1]:
        counts = [", ".join(map(str, sorted(each))) for each in numbers]
        raise CheckpointError(
            f"{path} is about {counts[0]} images, the cells here about {counts[1]}", "evaluate both on as many images"
        )


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
