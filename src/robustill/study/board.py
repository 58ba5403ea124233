"""What the cells of several studies hold, as one file: a verdict for every image, student and seed, and the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustill.errors import CheckpointError
from robustill.report.page.folder import Found, Run
from robustill.report.page.verdicts import read_verdicts
from robustill.study.cells import Cell
from robustill.study.curves import curve_rows
from robustill.study.folder import Store, read_json
from robustill.study.landscapes import landscape_rows
from robustill.study.results import calibration_rows, cost_rows
from robustill.study.run import Study

STANDARD = "autoattack"
ATTACKS = ("clean", STANDARD)
EVALUATION = "evaluation.json"


def collect(studies: Sequence[Study], curves: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of a board: every finished cell that AutoAttack's standard form was run on.

    Args:
        studies: Opened, with their cells.
        curves: Terms of the journals whose last values are kept.

    Returns:
        `cells` by folder (method, seed, data, threat, and the verdicts of the students `best` and `last`), `studies`
        by name (which cell each row and seed is, what is missing, and its own tables).

    Raises:
        CheckpointError: A cell's verdicts are not those that its evaluation counts.
    """
    cells: dict[str, Any] = {}
    about: dict[str, Any] = {}
    for study in studies:
        rows = study.rows()
        finished = [cell for cell in rows if study.store.result(cell) is not None]
        for cell in finished:
            if cell.folder not in cells and STANDARD in cell.measures["evaluate"]["attacks"]:
                cells[cell.folder] = _cell(cell, study.store)
        about[study.table.name] = _study(study, rows, finished, curves)
    return {"schema": 1, "studies": about, "cells": dict(sorted(cells.items()))}


def _study(study: Study, rows: Sequence[Cell], finished: Sequence[Cell], curves: Sequence[str]) -> dict[str, Any]:
    places: dict[str, dict[str, str]] = {}
    for cell in finished:
        places.setdefault(cell.variant.name, {})[str(cell.seed)] = cell.folder
    last: dict[tuple[str, int, str], dict[str, Any]] = {}
    for row in curve_rows(finished, study.store, curves):
        if row["kind"] == "epoch":
            last[row["run"], row["seed"], row["term"]] = {**row, "cell": places[row["run"]][str(row["seed"])]}
    return {
        "title": study.table.title,
        "rows": places,
        "missing": len(rows) - len(finished),
        "calibration": calibration_rows(finished, study.store),
        "landscape": landscape_rows(finished, study.store),
        "curve": list(last.values()),
        "ranking": _ranking(study.out / "ranking" / "ranking.json"),
    }


def _ranking(path: Path) -> list[dict[str, Any]]:
    found = read_json(path)
    if found is None:
        return []
    seeds = min(len(each["last"]) for each in found["students"].values())
    return [{**each, "seeds": seeds} for each in found["validation"] if each["criterion"] == "unlearnable"]


def _cell(cell: Cell, store: Store) -> dict[str, Any]:
    folder, result = store.of(cell), store.result(cell)
    assert result is not None
    places = {"best": folder, "last": folder / "last" if (folder / "last" / EVALUATION).exists() else folder}
    (cost,) = cost_rows([cell], store)
    total = result["trained"]["epochs"]
    epochs = {which: result["trained"][which].get("epoch", total - 1) + 1 for which in ("best", "last")}
    return {
        "method": cell.recipe.method.name,
        "taught": sorted(cell.recipe.teachers),
        "seed": cell.seed,
        "data": cell.recipe.data.name,
        "architecture": cell.recipe.student.architecture,
        "eps": cell.measures["evaluate"]["eps"],
        "norm": cell.measures["evaluate"]["norm"],
        "seconds_per_epoch": cost["seconds_per_epoch"],
        "epochs": epochs["last"],
        "validation": result["trained"]["best"].get("robust"),
        # One evaluation serves both where they are the same network; a study need not ask for the last one.
        "students": {
            which: {"epoch": epochs[which], **_verdicts(place, result, which)}
            for which, place in places.items()
            if any(row["student"] == which for row in result["rows"])
        },
    }


def _verdicts(folder: Path, result: dict[str, Any], student: str) -> dict[str, Any]:
    content = read_json(folder / EVALUATION) or {}
    run = Run(folder.name, folder, files={"evaluation": Found(folder / EVALUATION, content)})
    found = read_verdicts(run) if content else f"{folder} has no {EVALUATION}"
    if isinstance(found, str):
        raise CheckpointError(found, "evaluate the cell again: remove its result.json and run the study")
    counted = {row["attack"]: row["accuracy"] for row in result["rows"] if row["student"] == student}
    for attack in ATTACKS:
        if abs(counted[attack] - found.right[attack].mean()) > 1e-9:
            raise CheckpointError(
                f"{folder}: the verdicts on {attack} are not those that the study counted",
                "another study may have evaluated this cell otherwise: let both evaluate alike, or give each its own "
                "--cells; to measure it again, remove its result.json and run the study",
            )
    bits = {attack: pack(found.worst([attack]).tolist()) for attack in ATTACKS}
    return {"images": content["images"], "which": json.dumps(found.images), **bits}


def pack(right: Sequence[bool]) -> str:
    """Return verdicts as hexadecimal digits, the first image in the highest bit.

    >>> pack([True, False, False, False, True])
    '88'
    """
    padded = [*right, *[False] * (-len(right) % 8)]
    bits = "".join("1" if each else "0" for each in padded)
    return f"{int(bits, 2):0{len(padded) // 4}x}" if bits else ""


def unpack(digits: str, images: int) -> list[int]:
    """Return the verdicts of `pack`, 1 where the prediction was right.

    >>> unpack("88", 5)
    [1, 0, 0, 0, 1]
    """
    return [int(bit) for bit in f"{int(digits, 16):0{4 * len(digits)}b}"[:images]]
