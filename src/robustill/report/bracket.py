"""A `calibration.json` as a figure: what was found and what is certified, and the gap between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure

_FOUND, _CERTIFIED = "C3", "C0"


def draw_bracket(calibration: dict[str, Any], path: str | Path) -> None:
    """Draw mean relative calibration and agreement over the radius, and the share within delta for each radius.

    Whatever lies in a shaded area is not known.

    Args:
        calibration: The file's content, with at least one radius.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 4), layout="constrained")
    gap, agreement, faithful = figure.subplots(1, 3)
    points, norm = calibration["points"], calibration["threat"]["norm"]
    _draw_gap(gap, calibration)
    _draw_agreement(agreement, calibration)
    _draw_faithful(faithful, calibration)
    for axes in (gap, agreement):
        axes.set(xlabel=f"radius eps ({norm}, pixels in [0, 1])", xlim=(0, None))
    for axes in (gap, agreement, faithful):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    right = {"teacher": "the teacher classifies", "student": "the student classifies", "both": "both classify"}
    small, how = ", a small sample" if points["small_sample"] else "", calibration["bounds"] or "nothing"
    about = f"{points['count']} of {calibration['images']} images, those that {right[points['right']]} right{small}"
    figure.suptitle(f"{calibration['data']}: {about}; certified by {how}", fontsize=10)
    save_figure(figure, path)


def _draw_gap(axes: Any, calibration: dict[str, Any]) -> None:
    clean, radii = calibration["clean"]["calibration"], calibration["radii"]
    eps = [0.0, *(each["eps"] for each in radii)]
    lower = [clean, *(each["calibration"]["lower"] for each in radii)]
    upper = [clean, *(each["calibration"]["upper"] for each in radii)]
    if calibration["points"]["count"]:
        _edge(axes, eps, lower, _FOUND, "found by attack")
        if calibration["bounds"] is not None:
            _edge(axes, eps, upper, _CERTIFIED, "certified: not above")
            axes.fill_between(eps, [e["mean"] for e in lower], [e["mean"] for e in upper], color="0.5", alpha=0.2)
    axes.set(ylabel="mean over images", ylim=(0, None), title="relative calibration: largest |p_student - p_teacher|")
    axes.title.set_fontsize(9)


def _edge(axes: Any, eps: list[float], values: list[dict[str, Any]], color: str, label: str) -> None:
    """Draw one end of a bracket with its 95% intervals."""
    means = [each["mean"] for each in values]
    # A bootstrap interval need not contain the mean.
    sizes = [
        [max(0.0, (each["mean"] - each["interval"][0], each["interval"][1] - each["mean"])[end]) for each in values]
        for end in (0, 1)
    ]
    axes.errorbar(eps, means, yerr=sizes, color=color, marker="o", markersize=4, capsize=2, label=label)


def _draw_agreement(axes: Any, calibration: dict[str, Any]) -> None:
    clean, radii = calibration["clean"]["agreement"], calibration["radii"]
    eps = [0.0, *(each["eps"] for each in radii)]
    if calibration["points"]["count"]:
        ends = {
            name: [100 * clean["share"], *(100 * each["agreement"][name]["share"] for each in radii)]
            for name in (("found", "certified") if calibration["bounds"] is not None else ("found",))
        }
        axes.plot(eps, ends["found"], color=_FOUND, marker="o", markersize=4, label="no disagreement found")
        if "certified" in ends:
            axes.plot(eps, ends["certified"], color=_CERTIFIED, marker="o", markersize=4, label="certified")
            axes.fill_between(eps, ends["certified"], ends["found"], color="0.5", alpha=0.2)
    axes.set(ylabel="images, %", ylim=(0, 103), title="same class everywhere within eps")
    axes.title.set_fontsize(9)


def _draw_faithful(axes: Any, calibration: dict[str, Any]) -> None:
    deltas = calibration["deltas"]
    for number, each in enumerate(calibration["radii"]):
        found, certified = each["faithful"]["found"], each["faithful"]["certified"]
        if found is None:
            continue
        color, label = f"C{number % 10}", f"eps {each['eps']:.3g}"
        axes.plot(deltas, [100 * share for share in found], color=color, linestyle="--", linewidth=1)
        if certified is None:
            axes.plot([], [], color=color, linestyle="--", linewidth=1, label=label)
            continue
        axes.plot(deltas, [100 * share for share in certified], color=color, label=label)
        area = [[100 * share for share in shares] for shares in (certified, found)]
        axes.fill_between(deltas, *area, color=color, alpha=0.12, linewidth=0)
    axes.set(xlabel="delta (solid: certified; dashed: not refuted)", ylabel="images, %", xlim=(0, 1), ylim=(0, 103))
    axes.set_title("relative calibration at most delta", fontsize=9)
