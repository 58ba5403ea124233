"""How adversarial losses rise around trained weights, as figures that lay several runs over or beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure


def draw_landscape(landscape: dict[str, Any], path: str | Path) -> None:
    """Draw loss, rise of the loss and robust accuracy along random directions, a line per run.

    Lines are means over directions, bands reach from the lowest to the highest.

    Args:
        landscape: Content of a `landscape.json`.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    titles = ("adversarial loss g(r)", "rise g(r) - g(0)", "robust accuracy, %")
    for axes, title in zip(panels, titles, strict=True):
        axes.set(xlabel="r, in lengths of the weights", title=title)
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
        axes.axvline(landscape["settings"]["flatness_at"], color="0.6", linewidth=0.8, linestyle=":")
        axes.axvline(-landscape["settings"]["flatness_at"], color="0.6", linewidth=0.8, linestyle=":")
    for k, (name, run) in enumerate(landscape["runs"].items()):
        rises = [[value - run["loss"] for value in curve] for curve in run["curves"]]
        percent = [[100 * value for value in curve] for curve in run["robust_curves"]]
        for axes, curves in zip(panels, (run["curves"], rises, percent), strict=True):
            _band(axes, landscape["radii"], curves, f"C{k}", f"{name}: {_flatness(run)}")
    panels[1].legend(fontsize=8, title=f"rise at r = {landscape['settings']['flatness_at']:g}", title_fontsize=8)
    panels[2].set_ylim(0, 100)
    figure.suptitle(_title(landscape), fontsize=9)
    save_figure(figure, path)


def draw_plane(landscape: dict[str, Any], path: str | Path) -> None:
    """Draw the rise of the loss in the plane of the first two directions, a panel per run with the same levels.

    Args:
        landscape: Content of a `landscape.json` with planes.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.colors import BoundaryNorm
    from matplotlib.figure import Figure

    runs = landscape["runs"]
    figure = Figure(figsize=(1.4 + 2.9 * len(runs), 4.1), layout="constrained")
    panels = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0]
    levels = levels_of(runs.values())
    shades = BoundaryNorm(levels, 256, extend="max")
    for axes, (name, run) in zip(panels, runs.items(), strict=True):
        above = rises(run)
        sides = run["plane"]["radii"]
        filled = axes.contourf(sides, sides, above, levels=levels, norm=shades, cmap="viridis", extend="max")
        axes.contour(sides, sides, above, levels=levels, colors="white", linewidths=0.5)
        axes.plot(0, 0, "+", color="white")
        axes.set(xlabel="r along d1", title=f"{name}: g(0) {run['loss']:.3f}", aspect="equal")
        axes.title.set_fontsize(10)
    panels[0].set_ylabel("r along d2")
    figure.colorbar(filled, ax=list(panels), label="rise g - g(0)", ticks=levels, format="%g")
    figure.suptitle(_title(landscape, plane=True), fontsize=9)
    save_figure(figure, path)


def _band(axes: Any, radii: Sequence[float], curves: Sequence[Sequence[float]], color: str, label: str) -> None:
    columns = list(zip(*curves, strict=True))
    axes.fill_between(radii, list(map(min, columns)), list(map(max, columns)), color=color, alpha=0.15, linewidth=0)
    axes.plot(radii, [sum(column) / len(column) for column in columns], color=color, label=label)


def _flatness(run: dict[str, Any]) -> str:
    rise = run["flatness"]["rise"]
    spread = "" if rise["sd_directions"] is None else f" ± {rise['sd_directions']:.2f}"
    return f"{rise['mean']:.2f}{spread}"


def rises(run: dict[str, Any]) -> list[list[float]]:
    """Return a plane's losses above the loss in its middle, as rows along the second direction."""
    return [[value - run["loss"] for value in row] for row in run["plane"]["losses"]]


def levels_of(runs: Iterable[dict[str, Any]]) -> list[float]:
    """Return round levels for all planes: 0, and six of 0.01, 0.02, 0.05, 0.1 ... up to the largest rise.

    >>> levels_of([{"loss": 1.0, "plane": {"losses": [[1.0, 1.5], [1.0, 4.5]]}}])
    [0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    """
    values = [value for run in runs for row in rises(run) for value in row]
    series = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    return [min(0.0, *values), *[level for level in series if level < max(values)][-6:]]


def _title(landscape: dict[str, Any], *, plane: bool = False) -> str:
    s = landscape["settings"]
    count = 2 if plane else s["directions"]
    spread = "" if plane else " (band: lowest to highest, ±: standard deviation)"
    return (
        f"{s['data']}, {s['images']} {s['split']} images, {s['norm']} eps {s['eps']:g}, PGD-{s['steps']}, "
        f"adversarial examples {s['adversary']}\n{count} filter-normalised directions{spread}"
    )
