"""Robust accuracy over the radius, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure


def draw_curve(evaluation: dict[str, Any], path: str | Path) -> None:
    """Draw the `curve` of an `evaluation.json` with its 95% intervals, from the clean accuracy on.

    Args:
        evaluation: The file's content; has a `curve`.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    curve, clean = evaluation["curve"], evaluation["clean"]
    points = [{"eps": 0.0, **clean}, *(point for point in curve["points"] if point["eps"] > 0)]
    eps = [point["eps"] for point in points]
    low, high = ([100 * point["interval"][end] for point in points] for end in (0, 1))
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(eps, low, high, alpha=0.2, linewidth=0, label="95% interval")
    axes.plot(eps, [100 * point["accuracy"] for point in points], marker="o", label=", ".join(curve["attacks"]))
    axes.set(xlabel=f"radius eps ({evaluation['threat']['norm']}, pixels in [0, 1])", ylabel="right predictions, %")
    axes.set(xlim=(0, None), ylim=(0, 100), title=f"{evaluation['data']}, {evaluation['images']} images, worst case")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path, dpi=150)
