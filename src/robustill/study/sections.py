"""Parts of `summary.md` beyond accuracies: calibration and flatness over seeds, and the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robustill.study.spread import spread, told
from robustill.study.summary import markdown_table

Rows = Iterable[Mapping[str, Any]]
_CALIBRATION = {
    "calibration_found": "relative calibration, at least",
    "calibration_certified": "at most",
    "agreement_certified": "agreement, certified %",
    "agreement_found": "not refuted %",
}
_LANDSCAPE = {"loss": "adversarial loss", "rise": "its rise", "robust_drop": "robust accuracy lost, points"}
_SHARES = ("agreement_certified", "agreement_found", "robust_drop")


def calibration_section(rows: Rows) -> str:
    """Return how near students are to their teachers, by radius; "" without rows.

    >>> calibration_section([])
    ''
    """
    rows = list(rows)
    if not rows:
        return ""
    parts = [
        "## Beside the teacher\n",
        "Around points that the teacher classifies rightly: the largest difference of confidences that an attack "
        "found, the largest that bounds allow, and where both provably keep the class. Means ± standard deviation "
        "over seeds.",
    ]
    for eps in sorted({row["eps"] for row in rows}):
        parts += [f"\neps {eps:g}:\n", _table([row for row in rows if row["eps"] == eps], _CALIBRATION, 4)]
    return "\n".join(parts) + "\n"


def landscape_section(rows: Rows) -> str:
    """Return how sharply the loss rises around the students; "" without rows."""
    rows = list(rows)
    if not rows:
        return ""
    says = (
        f"Along random filter-normalised directions, {rows[0]['radius']:g} lengths of the weights away; "
        "means ± standard deviation over seeds."
    )
    return "\n".join(["## Flatness\n", f"{says}\n", _table(rows, _LANDSCAPE, 3)]) + "\n"


def figure_section(figures: Mapping[str, str]) -> str:
    """Return links to the figures that lie beside the page; "" without figures.

    Args:
        figures: What each shows, by the name of its file.
    """
    parts = [f"![{says}]({name})\n\n{says}.\n" for name, says in figures.items()]
    return "\n".join(["## Figures\n", *parts]) if parts else ""


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], digits: int) -> str:
    lines = []
    for run in dict.fromkeys(row["run"] for row in rows):
        own = [row for row in rows if row["run"] == run]
        values = [_mean([row[column] for row in own], column, digits) for column in columns]
        lines.append([run, str(len(own)), *values])
    return markdown_table(["run", "seeds", *columns.values()], lines)


def _mean(values: Sequence[float | None], column: str, digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    scale, places = (100, 2) if column in _SHARES else (1, digits)
    return told(spread(known), scale=scale, digits=places)
