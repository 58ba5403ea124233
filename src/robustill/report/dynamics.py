"""What simulated students learn over their steps, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure

_RESPONSES = {
    "signal": ("signal", "C0", "-"),
    "noise_unlearnable": ("noise, unlearnable samples", "C3", "-"),
    "noise_learnable": ("noise, learnable samples", "C1", "-"),
    "attackable": ("attackable response", "0.35", "--"),
}
_SMOOTHED = 3


def draw_accuracies(simulation: dict[str, Any], path: str | Path) -> None:
    """Draw robust train and test accuracy over steps: a column per teacher, a line per share of unlearnable samples.

    Lines are means over seeds of the moving average over three evaluations, bands reach from the lowest to the highest.

    Args:
        simulation: Content of a `simulation.json`.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    teachers, shares = simulation["grid"]["teachers"], simulation["grid"]["p_unlearnable"]
    rows = {"robust_train": "robust train accuracy, %", "robust_test": "robust test accuracy, %"}
    figure, panels = _panels(len(rows), teachers, 100)
    for axes_of_row, (name, label) in zip(panels, rows.items(), strict=True):
        axes_of_row[0].set_ylabel(label)
        for axes, teacher in zip(axes_of_row, teachers, strict=True):
            for k, p in enumerate(shares):
                curves = [_smooth(curve[name]) for curve in _of(simulation, teacher, p)]
                steps = _of(simulation, teacher, p)[0]["steps"]
                _band(axes, _middles(steps), curves, scale=100, label=f"{p:g}", color=f"C{k}")
            axes.set_ylim(0, 103)
    panels[0][0].legend(title="unlearnable", fontsize=8, title_fontsize=8, loc="lower right")
    figure.suptitle(_title(simulation), fontsize=9)
    save_figure(figure, path)


def draw_responses(simulation: dict[str, Any], path: str | Path) -> None:
    """Draw the largest responses of any filter to signal and noise over steps, a column per teacher.

    The share of unlearnable samples is the largest of the simulation's grid. Once the attackable response reaches the
    signal, the test attack wins.

    Args:
        simulation: Content of a `simulation.json`.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    teachers, share = simulation["grid"]["teachers"], max(simulation["grid"]["p_unlearnable"])
    figure, panels = _panels(1, teachers, None)
    for axes, teacher in zip(panels[0], teachers, strict=True):
        runs = _of(simulation, teacher, share)
        for name, (label, color, style) in _RESPONSES.items():
            if all(None not in run[name] for run in runs):
                _band(axes, runs[0]["steps"], [run[name] for run in runs], label=label, color=color, linestyle=style)
        axes.set_ylim(bottom=0)
    panels[0][0].set_ylabel("largest response of a filter")
    figure.legend(*panels[0][0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=4)
    figure.suptitle(f"{_title(simulation)}, unlearnable {share:g}", fontsize=9)
    save_figure(figure, path)


def _panels(rows: int, teachers: Sequence[str], top: float | None) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 2.7 * len(teachers), 0.9 + 2.3 * rows), layout="constrained")
    panels = figure.subplots(rows, len(teachers), sharex=True, sharey="row", squeeze=False)
    for axes, teacher in zip(panels[0], teachers, strict=True):
        axes.set_title("hard labels" if teacher == "hard" else f"teacher: {teacher}", fontsize=10)
    for axes in panels.flat:
        axes.grid(alpha=0.3)
    for axes in panels[-1]:
        axes.set_xlabel("step")
    return figure, panels


def _band(axes: Any, steps: list[float], curves: list[list[float]], scale: float = 1, **style: Any) -> None:
    columns = list(zip(*curves, strict=True))
    mean, low, high = ([scale * f(each) for each in columns] for f in (lambda c: sum(c) / len(c), min, max))
    axes.fill_between(steps, low, high, color=style["color"], alpha=0.18, linewidth=0)
    axes.plot(steps, mean, **style)


def _of(simulation: dict[str, Any], teacher: str, share: float) -> list[dict[str, Any]]:
    return [c for c in simulation["curves"] if (c["teacher"], c["p_unlearnable"]) == (teacher, share)]


def _smooth(values: list[float]) -> list[float]:
    width = min(_SMOOTHED, len(values))
    return [sum(values[k : k + width]) / width for k in range(len(values) - width + 1)]


def _middles(steps: list[int]) -> list[float]:
    return _smooth([float(step) for step in steps])


def _title(simulation: dict[str, Any]) -> str:
    settings = simulation["settings"]
    seeds = len({run["seed"] for run in simulation["runs"]})
    return (
        f"{settings['regime']} regime, eps {settings['eps']:g}, {seeds} seed{'s' * (seeds > 1)} (band: lowest to "
        "highest); trained against the signal's coordinate, tested on all"
    )
