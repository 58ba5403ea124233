"""A teacher's entropy against what its student keeps, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure

_KINDS = {
    "right": ("sure of the learnable, right side", "o", "C0"),
    "wrong": ("wrong side of the unlearnable", "X", "C3"),
    "uninformative": ("same margin on all samples", "^", "0.45"),
}


def draw_entropy(simulation: dict[str, Any], path: str | Path) -> None:
    """Draw final robust test accuracy over the teacher's entropy on unlearnable samples, a mark per teacher.

    Marks are means over seeds, lines reach from the lowest to the highest; numbers are margins.

    Args:
        simulation: Content of a `simulation.json` with a sweep.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes, sweep = figure.add_subplot(), simulation["sweep"]
    shown: list[str] = []
    for teacher in sweep["teachers"]:
        runs = [
            run
            for run in simulation["runs"]
            if (run["teacher"], run["p_unlearnable"]) == (teacher, sweep["p_unlearnable"])
        ]
        kind = _kind(runs[0])
        label, marker, color = _KINDS[kind]
        finals = [100 * run["final"] for run in runs]
        entropy, middle = runs[0]["entropy_unlearnable"], sum(finals) / len(finals)
        axes.vlines(entropy, min(finals), max(finals), color=color, alpha=0.5)
        axes.plot(entropy, middle, marker, color=color, markersize=7, label=None if kind in shown else label)
        # Neighbours of a kind carry their numbers above and below in turn.
        above = shown.count(kind) % 2 == (kind == "right")
        shown.append(kind)
        axes.annotate(
            f"{runs[0]['margin_unlearnable']:g}", (entropy, middle), fontsize=8, color=color,
            xytext=(4, 4 if above else -11), textcoords="offset points",
        )  # fmt: skip
    axes.set(
        xlabel="entropy of the teacher on unlearnable samples, nats (numbers: its margin there)",
        ylabel="final robust test accuracy, %",
    )
    axes.set(xlim=(-0.04, 0.74), ylim=(-8, 100), title=_title(sweep))
    axes.title.set_fontsize(9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left")
    save_figure(figure, path)


def _kind(run: dict[str, Any]) -> str:
    if run["margin_learnable"] == run["margin_unlearnable"] and abs(run["margin_learnable"]) < 10:
        return "uninformative"
    return "wrong" if run["margin_unlearnable"] < 0 else "right"


def _title(sweep: dict[str, Any]) -> str:
    rho = {name: "-" if value is None else f"{value:.2f}" for name, value in sweep["spearman"].items()}
    return (
        f"unlearnable {sweep['p_unlearnable']:g}. Spearman: right side {rho['entropy']}, with wrong side "
        f"{rho['entropy_with_wrong']}, with all {rho['entropy_with_all']}\n"
        f"(entropy on unlearnable less entropy on learnable, with all: {rho['contrast_with_all']})"
    )
