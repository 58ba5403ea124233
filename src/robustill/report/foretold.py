"""What students became, over the entropy of their teachers, as one figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure

_MARKERS = "osD^v<>pP*hX"
_PANELS = {"last": "robust accuracy, last epoch, %", "gap": "best less last, points"}


def draw_foretold(teachers: Mapping[str, Mapping[str, Any]], path: str | Path) -> None:
    """Draw each teacher's students: mean and standard deviation over seeds.

    Args:
        teachers: By name `entropy` in nats, `last` and `gap` (accuracies of its students), and whether gates `dropped`
            it.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    panels = figure.subplots(1, len(_PANELS))
    for axes, (outcome, title) in zip(panels, _PANELS.items(), strict=True):
        for k, (name, each) in enumerate(teachers.items()):
            values = [100 * value for value in each[outcome]]
            axes.errorbar(
                each["entropy"], statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0,
                fmt=_MARKERS[k % len(_MARKERS)], ms=7, color=f"C{k % 10}", mfc="none" if each["dropped"] else None,
                label=f"{name}{' (dropped)' * each['dropped']}", capsize=2,
            )  # fmt: skip
        axes.set(xlabel="teacher's entropy on the unlearnable set, nats", title=f"student: {title}")
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=7, loc="outside right")
    save_figure(figure, path)
