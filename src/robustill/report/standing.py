"""Where students stand, clean and attacked, and how far from the one they are compared with; what became of claims."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustill.report.figure import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TAUGHT, _ALONE = "tab:blue", "tab:orange"
_STATUS = {"reproduced": "tab:green", "not reproduced": "tab:red"}
_OTHER = "0.5"
# Beyond this many times what would count, a point is an arrow at the edge.
_FAR = 4.0


@dataclass(frozen=True)
class Standing:
    """One row.

    Args:
        name: As it is called.
        clean: Accuracies in percent, one per seed.
        robust: Those under attack.
        taught: Whether a teacher or peer took part.
        less: Robust accuracy less that of the row compared with, in points; None where there is none.
        interval: Of that difference.

    >>> Standing("rslad", [84.0], [70.0]).less is None
    True
    """

    name: str
    clean: Sequence[float]
    robust: Sequence[float]
    taught: bool = True
    less: float | None = None
    interval: Sequence[float] | None = None


def draw_standing(rows: Sequence[Standing], path: str | Path, *, attack: str, base: str | None = None) -> None:
    """Draw a line per row: clean accuracy, accuracy under attack, and the paired difference with its interval.

    Args:
        rows: From top to bottom.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
        attack: What the students stood up to, for the heading.
        base: The row that the others are compared with; without it there is no third panel.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    titles = ["clean accuracy, %", f"{attack}, %"]
    titles += [] if base is None else [f"{attack} less that of {base}, points"]
    figure = Figure(figsize=(2 + 2.9 * len(titles), 1.5 + 0.24 * max(len(rows), 2)), layout="constrained")
    panels = figure.subplots(1, len(titles), sharey=True)
    best = max(map(_robust, rows))
    for place, row in enumerate(rows):
        _draw_row(panels, place, row, lost=2 * _robust(row) < best)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=9)
        axes.grid(alpha=0.3)
    if base is not None:
        panels[2].axvline(0, color="0.4", linewidth=0.9)
    panels[0].set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    if len({row.taught for row in rows}) == 2:
        says = {_TAUGHT: "with a teacher or peer", _ALONE: "without"}
        handles = [Line2D([], [], marker="o", ls="", color=color, label=text) for color, text in says.items()]
        figure.legend(handles=handles, fontsize=8, ncols=2, loc="outside lower center")
    save_figure(figure, path)


def draw_claims(claims: Sequence[Mapping[str, object]], path: str | Path) -> None:
    """Draw a line per claim: what was measured, as a share of what would count, towards the right as claimed.

    Args:
        claims: Of each `says`, `status`, `value` and `interval`, both divided by what would count.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(9.5, 1.4 + 0.34 * max(len(claims), 2)), layout="constrained")
    axes = figure.subplots()
    for place, each in enumerate(claims):
        value, interval = each["value"], each["interval"]
        assert isinstance(value, float)
        assert interval is None or isinstance(interval, Sequence)
        _difference(axes, place, value, interval, _color(str(each["status"])), far=_FAR)
    axes.axvline(0, color="0.4", linewidth=0.9)
    axes.axvline(1, color="0.4", linewidth=0.9, linestyle=":")
    labels = [textwrap.fill(str(each["says"]), 68) for each in claims]
    axes.set_yticks(range(len(claims)), labels, fontsize=7)
    axes.set(ylim=(len(claims) - 0.4, -0.6), xlim=(-_FAR - 0.4, _FAR + 0.4))
    axes.set_xlabel("measured, with 95% interval; 1: what would count, as in the table", fontsize=9)
    axes.grid(alpha=0.3)
    says = {**_STATUS, "undecided at this size": _OTHER}
    handles = [Line2D([], [], marker="o", ls="-", color=color, label=text) for text, color in says.items()]
    figure.legend(handles=handles, fontsize=8, ncols=3, loc="outside lower center")
    save_figure(figure, path)


def _draw_row(panels: Sequence[Axes], place: int, row: Standing, *, lost: bool) -> None:
    color = _TAUGHT if row.taught else _ALONE
    _seeds(panels[0], place, row.clean, color)
    if lost:
        # One student without any robustness would press all others into a corner.
        panels[1].annotate(
            f"← {_robust(row):.1f}", (0.01, place), xycoords=("axes fraction", "data"), color=color, fontsize=8,
            va="center",
        )  # fmt: skip
        return
    _seeds(panels[1], place, row.robust, color)
    if len(panels) > 2 and row.less is not None:
        _difference(panels[2], place, row.less, row.interval, color)


def _robust(row: Standing) -> float:
    return statistics.fmean(row.robust)


def _seeds(axes: Axes, place: int, values: Sequence[float], color: str) -> None:
    axes.plot(values, [place] * len(values), "o", ms=3.5, color=color, alpha=0.4, mew=0)
    axes.plot(statistics.fmean(values), place, "|", ms=11, mew=2.2, color=color)


def _color(status: str) -> str:
    return next((color for name, color in _STATUS.items() if status.startswith(name)), _OTHER)


def _difference(
    axes: Axes, place: int, value: float, interval: Sequence[float] | None, color: str, far: float = float("inf")
) -> None:
    if interval is not None:
        ends = [min(max(end, -far), far) for end in interval]
        axes.plot(ends, [place, place], "-", color=color, linewidth=1.8, alpha=0.6, solid_capstyle="butt")
        for end in interval:
            if abs(end) > far:
                axes.plot(min(max(end, -far), far), place, "<" if end < 0 else ">", ms=5, color=color)
    if abs(value) <= far:
        axes.plot(value, place, "o", ms=5, color=color)
