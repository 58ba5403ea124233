"""A board that goes on from an earlier one: what was measured stays, though its cells are on another machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from robustill.study.cells import Cell
from robustill.study.run import Study

Rows = list[dict[str, Any]]
_TABLES = ("calibration", "landscape", "curve")


def extended(board: Mapping[str, Any], before: Mapping[str, Any], studies: Sequence[Study]) -> dict[str, Any]:
    """Return `board` with what an earlier one holds of the same cells.

    What was published stays: where both have a cell, its verdicts are those of the earlier board.

    Args:
        board: Of `collect`.
        before: An earlier one.
        studies: The same as those of `board`. A cell of the earlier board stays if one of them still asks for it under
            the same address; what no study asks for any more is left out.
    """
    rows = {study.table.name: study.rows() for study in studies}
    asked = {cell.folder for each in rows.values() for cell in each}
    cells = {**board["cells"], **{name: cell for name, cell in before["cells"].items() if name in asked}}
    about = {
        name: {"title": found["title"], **_study(rows[name], cells, before["studies"].get(name, {}), found)}
        for name, found in board["studies"].items()
    }
    return {**board, "studies": about, "cells": dict(sorted(cells.items()))}


def _study(
    rows: Sequence[Cell], cells: Collection[str], before: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what two boards hold of one study, the earlier one's where both have something of a row and seed."""
    places: dict[str, dict[str, str]] = {}
    for cell in rows:
        if cell.folder in cells:
            places.setdefault(cell.variant.name, {})[str(cell.seed)] = cell.folder
    order = {(cell.variant.name, cell.seed): place for place, cell in enumerate(rows)}
    tables = {table: _table(before.get(table, []), found[table], order) for table in _TABLES}
    missing = len(rows) - sum(map(len, places.values()))
    ranking = _ranking(before.get("ranking", []), found["ranking"])
    return {"rows": places, "missing": missing, **tables, "ranking": ranking}


def _ranking(first: Rows, second: Rows) -> Rows:
    """Return the ranking of more seeds, of as many the second: it was made with the first one's students beside it."""
    return max(second, first, key=lambda rows: min((row["seeds"] for row in rows), default=0))


def _table(first: Rows, second: Rows, order: Mapping[tuple[str, int], int]) -> Rows:
    known = {_key(row) for row in first}
    both = [*first, *(row for row in second if _key(row) not in known)]
    return sorted((row for row in both if _key(row) in order), key=lambda row: order[_key(row)])


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["run"], row["seed"]
