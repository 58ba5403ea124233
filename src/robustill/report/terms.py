"""Terms of training over epochs, of several runs and seeds, as one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robustill.report.figure import save_figure

_STYLES = ("-", "--", ":", "-.")
Lines = Mapping[tuple[str, str, int], Sequence[tuple[float, float]]]


def draw_terms(lines: Lines, panels: Sequence[Sequence[str]], path: str | Path) -> None:
    """Draw a panel for each group of terms: a colour per run, a style per term, a line per seed.

    Args:
        lines: For (run, term, seed), the points (epochs, value).
        panels: The terms of each panel.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    runs = list(dict.fromkeys(run for run, _, _ in lines))
    figure = Figure(figsize=(1 + 3.6 * len(panels), 4), layout="constrained")
    for axes, terms in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for (run, term, _), points in lines.items():
            if term in terms:
                axes.plot(
                    *zip(*points, strict=True), color=f"C{runs.index(run)}", linestyle=_STYLES[terms.index(term) % 4],
                    linewidth=1.2, alpha=0.8,
                )  # fmt: skip
        axes.set(xlabel="epochs")
        axes.grid(alpha=0.3)
        styles = [Line2D([], [], color="0.3", ls=_STYLES[k % 4], label=term) for k, term in enumerate(terms)]
        # In the place of a title, where it covers no line.
        axes.legend(handles=styles, fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    colors = [Line2D([], [], color=f"C{k}", label=run) for k, run in enumerate(runs)]
    if runs:
        figure.legend(handles=colors, fontsize=8, ncols=min(len(runs), 2 * len(panels)), loc="outside lower center")
    save_figure(figure, path)
