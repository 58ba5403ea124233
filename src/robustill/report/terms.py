"""Terms of training over epochs, of several runs and seeds, as one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robustill.report.figure import save_figure

_STYLES = ("-", "--", ":", "-.")
Lines = Mapping[tuple[str, str, int], Sequence[tuple[float, float]]]


def draw_terms(lines: Lines, panels: Sequence[Sequence[str]], path: Path) -> None:
    """Draw a panel for each group of terms: a colour per run, a style per term, a line per seed.

    Args:
        lines: For (run, term, seed), the points (epochs, value).
        panels: The terms of each panel.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    runs = list(dict.fromkeys(run for run, _, _ in lines))
    figure = Figure(figsize=(1 + 3.4 * len(panels), 3.6), layout="constrained")
    for axes, terms in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        labels = set()
        for (run, term, _), points in lines.items():
            if term not in terms:
                continue
            label = f"{run}: {term}"
            axes.plot(
                *zip(*points, strict=True), color=f"C{runs.index(run)}", linestyle=_STYLES[terms.index(term) % 4],
                linewidth=1.2, alpha=0.8, label=None if label in labels else label,
            )  # fmt: skip
            labels.add(label)
        axes.set(xlabel="epochs", title=", ".join(terms))
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
        if labels:
            axes.legend(fontsize=6)
    save_figure(figure, path)
