"""A board that goes on from an earlier one: what was measured stays, though its cells are on another machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from robustill.study.cells import Cell
from robustill.study.run import Study

Rows = list[dict[str, Any]]
_TABLES = ("calibration", "landscape", "curve")
_KEYS = ("eps", "term")
"""What tells the rows of one cell apart: radii of a calibration, terms of a curve. A landscape has one row."""


def extended(board: Mapping[str, Any], before: Mapping[str, Any], studies: Sequence[Study]) -> dict[str, Any]:
    """Return `board` with what an earlier one holds of the same cells.

    What was published stays: where both have a cell, its verdicts are those of the earlier board, if they are of the
    threat and the images that are asked for now.

    Args:
        board: Of `collect`.
        before: An earlier one.
        studies: The same as those of `board`. A cell of the earlier board stays if one of them still asks for it under
            the same address; what no study asks for any more is left out.
    """
    rows = {study.table.name: study.rows() for study in studies}
    asked = {cell.folder: cell.measures["evaluate"] for each in rows.values() for cell in each}
    stay = {name: each for name, each in before["cells"].items() if name in asked and _alike(each, asked[name])}
    cells = {**board["cells"], **{name: each for name, each in stay.items() if _agree(each, board["cells"].get(name))}}
    about = {
        name: {"title": found["title"], **_study(rows[name], cells, before["studies"].get(name, {}), found)}
        for name, found in board["studies"].items()
    }
    return {**board, "studies": about, "cells": dict(sorted(cells.items()))}


def _alike(held: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Return whether the verdicts of a cell are of the threat, and of as many images, as are asked for."""
    wanted = [student["images"] for student in held["students"].values()] if asked.get("images") is not None else []
    return (held["eps"], held["norm"]) == (asked["eps"], asked["norm"]) and set(wanted) <= {asked.get("images")}


def _agree(held: Mapping[str, Any], here: Mapping[str, Any] | None) -> bool:
    """Return whether two boards hold verdicts of a cell on the same images."""
    return here is None or all(
        (student["which"], student["images"]) == (here["students"][name]["which"], here["students"][name]["images"])
        for name, student in held["students"].items()
        if name in here["students"]
    )


def _study(
    rows: Sequence[Cell], cells: Collection[str], before: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what two boards hold of one study, the earlier one's where both have something of a row and seed."""
    places: dict[str, dict[str, str]] = {}
    for cell in rows:
        if cell.folder in cells:
            places.setdefault(cell.variant.name, {})[str(cell.seed)] = cell.folder
    order = {(cell.variant.name, cell.seed): (place, cell.folder) for place, cell in enumerate(rows)}
    held = before.get("rows", {})
    first = {
        table: [{**row, "cell": row.get("cell", _folder(held, row))} for row in before.get(table, [])]
        for table in _TABLES
    }
    tables = {table: _table(first[table], found[table], order) for table in _TABLES}
    missing = len(rows) - sum(map(len, places.values()))
    ranking = _ranking(before.get("ranking", []), found["ranking"])
    return {"rows": places, "missing": missing, **tables, "ranking": ranking}


def _ranking(first: Rows, second: Rows) -> Rows:
    """Return the ranking of more seeds, of as many the second: it was made with the first one's students beside it."""
    return max(second, first, key=lambda rows: min((row["seeds"] for row in rows), default=0))


def _table(first: Rows, second: Rows, order: Mapping[tuple[str, int], tuple[int, str]]) -> Rows:
    """Return the rows of cells that are still asked for: of one radius or term the first one's."""
    ours = [row for row in (*first, *second) if order.get(_place(row), (0, None))[1] == row["cell"]]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in ours:
        found.setdefault((_place(row), *(row.get(key) for key in _KEYS)), row)
    return sorted(found.values(), key=lambda row: order[_place(row)])


def _place(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["run"], row["seed"]


def _folder(rows: Mapping[str, Mapping[str, str]], row: Mapping[str, Any]) -> str | None:
    return rows.get(row["run"], {}).get(str(row["seed"]))
