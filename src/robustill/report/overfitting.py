"""Robust accuracy of a run over its epochs, on training and on validation images, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure

_TRAIN = {
    "all": ("training images", "C1"),
    "learnable": ("learnable training images", "C2"),
    "unlearnable": ("unlearnable training images", "C3"),
}


def draw_overfitting(overfitting: dict[str, Any], path: str | Path) -> None:
    """Draw robust accuracy over epochs with the gap between the best and the last; dashed: clean accuracy.

    Args:
        overfitting: What is under that name in a `diagnostics.json`.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch + 1 for epoch in overfitting["epochs"]]
    best, last = overfitting["best"], overfitting["last"]
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    lines = {"validation images": ("C0", overfitting["validation"])}
    lines |= {_TRAIN.get(name, (name, "0.4"))[0]: (_TRAIN.get(name, (name, "0.4"))[1], each)
              for name, each in overfitting["train"].items()}  # fmt: skip
    for label, (color, scores) in lines.items():
        size = f" ({scores['images']})" if scores["images"] is not None else ""
        axes.plot(epochs, _percent(scores["clean"]), color=color, linestyle="--", linewidth=1, alpha=0.5)
        axes.plot(epochs, _percent(scores["robust"]), color=color, marker=".", label=label + size)
    axes.axvline(best["epoch"] + 1, color="0.6", linewidth=0.8, linestyle=":")
    axes.plot([last["epoch"] + 1] * 2, _percent([best["robust"], last["robust"]]), color="C0", linewidth=4, alpha=0.3)
    axes.set(xlabel="epoch (dotted: the best)", ylabel="accuracy, % (dashed: clean)", ylim=(0, 100))
    axes.set_title(_title(overfitting), fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, title="robust accuracy on", title_fontsize=8)
    save_figure(figure, path)


def _title(overfitting: dict[str, Any]) -> str:
    best, last, noise = overfitting["best"], overfitting["last"], overfitting["noise"]
    within = "" if noise is None else f" (noise ±{100 * noise:.1f})"
    return (
        f"robust accuracy {100 * best['robust']:.1f} in epoch {best['epoch'] + 1}, {100 * last['robust']:.1f} in the "
        f"last: gap {100 * overfitting['gap']:.1f}{within}"
    )


def _percent(values: list[float]) -> list[float]:
    return [100 * value for value in values]
