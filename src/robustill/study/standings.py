"""The rows of a summary as a figure."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from robustill.report.standing import Standing, draw_standing

_ROBUST, _STUDENT = "robust", "best"


def draw(summary: dict[str, Any], taught: Collection[str], path: Path) -> None:
    """Draw the selected students of a study: clean, in the worst case, and beside what they are compared with.

    Args:
        summary: What `summary.json` holds.
        taught: Names of rows with a teacher or peer.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    rows = []
    for name, students in summary["runs"].items():
        found = students.get(_STUDENT, {})
        if {"clean", _ROBUST} <= found.keys():
            pair = summary["paired"].get(name, {}).get(_STUDENT, {}).get(_ROBUST) or {}
            less, interval = pair.get("difference"), pair.get("interval")
            rows.append(
                Standing(
                    name,
                    _percent(found["clean"]),
                    _percent(found[_ROBUST]),
                    name in taught,
                    None if less is None else 100 * less,
                    None if interval is None else [100 * end for end in interval],
                )
            )
    bases = set(summary["baselines"].values())
    base = min(bases) if len(bases) == 1 else "its base" if bases else None
    if rows:
        draw_standing(rows, path, attack="worst case", base=base)


def _percent(found: dict[str, Any]) -> list[float]:
    return [100 * value for value in found["seeds"].values()]
