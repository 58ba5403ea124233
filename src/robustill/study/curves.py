"""What the journals of a study's cells say of chosen terms, epoch by epoch: a table and a figure."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robustill.recipe.files import flatten
from robustill.study.cells import Cell
from robustill.study.folder import Store

Rows = list[dict[str, Any]]


def curve_rows(cells: Iterable[Cell], store: Store, terms: Sequence[str], runs: Sequence[str] = ()) -> Rows:
    """Return a row for each finished cell, journal line and term.

    Args:
        cells: Of the study.
        store: Where they live.
        terms: As `metrics.jsonl` calls them, those of its tables with a dot: `probe.peer_clean`.
        runs: Only these entries; all when empty.

    Returns:
        Rows of `run`, `seed`, `epoch` (a number with fraction: how many are over), `kind` of line, `term` and `value`.
    """
    found: Rows = []
    for cell in cells:
        if (not runs or cell.variant.name.partition("[")[0] in runs) and store.result(cell) is not None:
            about = {"run": cell.variant.name, "seed": cell.seed}
            found += [{**about, **row} for row in _journal(store.of(cell) / "metrics.jsonl", terms)]
    return found


def _journal(path: Path, terms: Sequence[str]) -> Rows:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    steps = [line["step"] for line in lines if line.get("kind") == "step"]
    # A line is written every so many steps; an epoch ends somewhere after its last one.
    gap = min((b - a for a, b in itertools.pairwise(steps) if b > a), default=1)
    length = max(steps, default=0) + gap
    found = []
    for line in lines:
        kind, values = line.get("kind"), flatten(line)
        if kind not in ("step", "epoch"):
            continue
        epoch = line["epoch"] + (1 if kind == "epoch" else line["step"] / length)
        found += [
            {"epoch": round(epoch, 4), "kind": kind, "term": term, "value": values[term]}
            for term in terms
            if isinstance(values.get(term), int | float)
        ]
    return found


def draw(rows: Rows, panels: Sequence[Sequence[str]], path: Path) -> None:
    """Draw a panel for each group of terms: a colour per run, a style per term, a line per seed.

    Where a term is logged within epochs, those lines are drawn; else those of epochs.
    """
    from robustill.report.terms import draw_terms

    within = {(row["run"], row["term"]) for row in rows if row["kind"] == "step"}
    lines: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for row in rows:
        if (row["kind"] == "step") == ((row["run"], row["term"]) in within):
            lines.setdefault((row["run"], row["term"], row["seed"]), []).append((row["epoch"], row["value"]))
    draw_terms(lines, panels, path)
