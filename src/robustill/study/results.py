"""What a study found, as one tidy table: a row for each cell, student and attack. No times, no places."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robustill.study.cells import Cell
from robustill.study.folder import Store
from robustill.writing import replacing, write_whole

COLUMNS = (
    "run", "seed", "student", "attack", "images", "accuracy", "low", "high", "wra", "epoch", "suspicious", "method",
    "architecture", "data", "norm", "eps", "teachers", "cell", "address",
)  # fmt: skip
"""Columns of `results.csv`, before one for each key of a grid."""

ADDRESS = 12
"""Digits of a cell's address in a table: of its training and of all that it is asked."""

_COSTS = (
    "run", "seed", "epochs", "seconds_per_epoch", "train_seconds", "evaluate_seconds", "calibrate_seconds", "cell",
)  # fmt: skip


def rows(cells: Iterable[Cell], store: Store) -> list[dict[str, Any]]:
    """Return the rows of all finished cells, in the order of the study."""
    found = []
    for cell in cells:
        result = store.result(cell)
        if result is None:
            continue
        about = _about(cell)
        for row in result["rows"]:
            epoch = result["trained"][row["student"]].get("epoch")
            found.append({**about, **row, "epoch": None if epoch is None else epoch + 1})
    keys = list(dict.fromkeys(key for cell in cells for key in cell.variant.settings))
    order = [*COLUMNS, *(f"set.{key}" for key in keys)]
    return [{column: row.get(column) for column in order} for row in found]


def calibration_rows(cells: Iterable[Cell], store: Store) -> list[dict[str, Any]]:
    """Return a row for each calibrated cell and radius."""
    found = []
    for cell in cells:
        result = store.result(cell)
        for each in (result or {}).get("calibration", []):
            found.append({"run": cell.variant.name, "seed": cell.seed, **each, "cell": cell.folder})
    return found


def cost_rows(cells: Iterable[Cell], store: Store) -> list[dict[str, Any]]:
    """Return what each finished cell cost in seconds; these are not the same in another run."""
    found = []
    for cell in cells:
        result = store.result(cell)
        if result is None:
            continue
        epochs, asked = _epoch_seconds(store.of(cell) / "metrics.jsonl"), result["seconds"]
        middle = sorted(epochs)[len(epochs) // 2] if epochs else None
        values = (
            cell.variant.name, cell.seed, result["trained"]["epochs"], middle, round(sum(epochs), 3),
            asked.get("evaluate"), asked.get("calibrate"), cell.folder,
        )  # fmt: skip
        found.append(dict(zip(_COSTS, values, strict=True)))
    return found


def write_csv(table: list[dict[str, Any]], path: Path) -> None:
    """Write a table; numbers keep all their digits."""
    text = io.StringIO()
    if table:
        writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    write_whole(path, [text.getvalue().encode()])


def write_parquet(table: list[dict[str, Any]], path: Path) -> None:
    """Write a table as Parquet."""
    import pyarrow
    import pyarrow.parquet

    columns = {name: [row[name] for row in table] for name in (table[0] if table else COLUMNS)}
    with replacing(path) as file:
        pyarrow.parquet.write_table(pyarrow.table(columns), file)


def _about(cell: Cell) -> dict[str, Any]:
    recipe, asked = cell.recipe, cell.measures["evaluate"]
    method, names = recipe.method, [recipe.method.name]
    while method.base is not None:
        method = method.base
        names.append(method.name)
    return {
        "run": cell.variant.name,
        "seed": cell.seed,
        "method": "(".join(names) + ")" * (len(names) - 1),
        "architecture": recipe.student.architecture,
        "data": recipe.data.name,
        "norm": asked["norm"],
        "eps": asked["eps"],
        "teachers": "; ".join(f"{key}={_taught(value)}" for key, value in sorted(recipe.teachers.items())),
        "cell": cell.folder,
        "address": cell.address[:ADDRESS],
        **{f"set.{key}": _plain(value) for key, value in cell.variant.settings.items()},
    }


def _taught(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_taught, value))
    return value if isinstance(value, str) else str(value.source)


def _plain(value: Any) -> str | float:
    """One type for a column, whatever a grid mixes."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _epoch_seconds(path: Path) -> list[float]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    return [line["seconds"] for line in lines if line["kind"] == "epoch"]
