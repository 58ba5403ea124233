"""A `certification.json` as a figure: certified accuracy over the radius, and what attacks leave above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure


def draw_certified(certification: dict[str, Any], path: str | Path) -> None:
    """Draw certified accuracy over the radius, below the accuracy that attacks leave, or the curve of smoothing.

    Args:
        certification: The file's content.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    smoothed = certification.get("smoothed")
    if smoothed is None:
        _draw_bracket(axes, certification)
    else:
        _draw_steps(axes, smoothed, certification["images"])
    axes.axhline(
        100 * certification["clean"]["accuracy"], color="0.4", linestyle=":", label="without an attack, without noise"
    )
    norm, small = certification["threat"]["norm"], ", a small sample" if certification["small_sample"] else ""
    axes.set(xlabel=f"radius eps ({norm}, pixels in [0, 1])", ylabel="right predictions, %")
    axes.set(xlim=(0, None), ylim=(0, 103))
    axes.set_title(f"{certification['data']}, {certification['images']} images{small}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save_figure(figure, path)


def _draw_bracket(axes: Any, certification: dict[str, Any]) -> None:
    clean, radii = certification["clean"], certification["radii"]
    eps = [0.0, *(each["eps"] for each in radii)]
    sides = {"attacked": ("C3", "no attack found"), "certified": ("C0", f"certified ({certification['bounds']})")}
    drawn = []
    for name, (color, label) in sides.items():
        if all(each[name] is None for each in radii):
            continue
        points = [clean, *(each[name] for each in radii)]
        low, high = ([100 * point["interval"][end] for point in points] for end in (0, 1))
        drawn.append([100 * point["accuracy"] for point in points])
        axes.plot(eps, drawn[-1], color=color, marker="o", markersize=4, label=label)
        axes.fill_between(eps, low, high, color=color, alpha=0.12, linewidth=0)
    if len(drawn) == 2:
        axes.fill_between(eps, *drawn, facecolor="none", hatch="//", edgecolor="0.6", linewidth=0, label="not known")


def _draw_steps(axes: Any, smoothed: dict[str, Any], images: int) -> None:
    """Draw the share of images whose certified radius is larger than r."""
    radii = [0.0, *smoothed["right_radii"]]
    shares = [100 * (len(radii) - 1 - k) / images for k in range(len(radii))]
    label = f"certified, smoothed with sigma {smoothed['sigma']:g} ({smoothed['samples']} copies)"
    axes.step(radii, shares, where="post", color="C0", label=label)
