"""A board that goes on from an earlier one: what was measured stays, though its cells are on another machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from robustill.study.cells import Cell
from robustill.study.run import Study

Rows = list[dict[str, Any]]
_TABLES = ("calibration", "landscape", "curve")


def extended(
    board: Mapping[str, Any], before: Mapping[str, Any], studies: Sequence[Study], again: Collection[str] = ()
) -> dict[str, Any]:
    """Return `board` with what an earlier one holds of the same cells.

    What was published stays: where both have a cell, its verdicts are those of the earlier board.

    Args:
        board: Of `collect`.
        before: An earlier one.
        studies: The same as those of `board`. A cell of the earlier board stays if one of them still asks for it under
            the same address; what no study asks for any more is left out.
        again: Studies whose own tables (calibration, landscapes, curves, ranking) are rather taken from `board`.
    """
    cells, about = dict(board["cells"]), {}
    for study in studies:
        name, rows = study.table.name, study.rows()
        known = {cell.folder: before["cells"][cell.folder] for cell in rows if cell.folder in before["cells"]}
        cells |= known
        pair = (before["studies"].get(name, {}), board["studies"][name])
        found = _study(rows, known.keys(), *(pair[::-1] if name in again else pair))
        about[name] = {"title": board["studies"][name]["title"], **found}
    return {**board, "studies": about, "cells": dict(sorted(cells.items()))}


def _study(
    rows: Sequence[Cell], known: Collection[str], first: Mapping[str, Any], second: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what two boards hold of one study, the first one's where both have something of a row and seed."""
    places: dict[str, dict[str, str]] = {}
    for cell in rows:
        name, seed = cell.variant.name, str(cell.seed)
        if cell.folder in known or any(
            each.get("rows", {}).get(name, {}).get(seed) == cell.folder for each in (first, second)
        ):
            places.setdefault(name, {})[seed] = cell.folder
    order = {(cell.variant.name, cell.seed): place for place, cell in enumerate(rows)}
    found = {table: _table(first.get(table, []), second.get(table, []), order) for table in _TABLES}
    missing = len(rows) - sum(map(len, places.values()))
    ranking = first.get("ranking") or second.get("ranking") or []
    return {"rows": places, "missing": missing, **found, "ranking": ranking}


def _table(first: Rows, second: Rows, order: Mapping[tuple[str, int], int]) -> Rows:
    known = {_key(row) for row in first}
    both = [*first, *(row for row in second if _key(row) not in known)]
    return sorted((row for row in both if _key(row) in order), key=lambda row: order[_key(row)])


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["run"], row["seed"]
