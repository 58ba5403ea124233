"""The robustly unlearnable set: how many references agree, how that depends on their number, and which images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure

_WRONG, _RIGHT, _BETWEEN = "C3", "C0", "0.7"


def draw_learnability(summary: dict[str, Any], path: str | Path) -> None:
    """Draw how many references are right on an image, the sizes of both sets by number of references, and the classes.

    Args:
        summary: Content of an `unlearnable.json`.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    count, images = len(summary["references"]), summary["images"]
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    scores, sizes, classes = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    colors = [_WRONG, *[_BETWEEN] * (count - 1), _RIGHT]
    bars = scores.bar(range(count + 1), summary["histogram"], color=colors)
    # Between many references only the two sets have room for their numbers.
    shown = [str(n) if count <= 8 or k in (0, count) else "" for k, n in enumerate(summary["histogram"])]
    scores.bar_label(bars, shown, fontsize=7)
    scores.set(xlabel=f"references that stay right, of {count}", ylabel="training images")
    scores.set_xticks(range(count + 1) if count <= 12 else range(0, count + 1, -(-count // 10)))
    for name, color in (("learnable", _RIGHT), ("unlearnable", _WRONG)):
        points = [100 * point[name] / images for point in summary["stability"]]
        sizes.plot(range(1, count + 1), points, marker="o", color=color, label=name)
    sizes.set(xlabel="references (mean over all subsets)", ylabel="share of the images, %", ylim=(0, 100))
    sizes.set_xticks(range(1, count + 1) if count <= 12 else range(1, count + 1, -(-count // 10)))
    sizes.legend(fontsize=8)
    _draw_classes(classes, summary["classes"])
    for axes in (scores, sizes, classes):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    figure.suptitle(
        f"{summary['data']}: {images} training images, {summary['attack']} with {summary['norm']} eps "
        f"{summary['eps']:.4g}, {count} reference{'s' * (count > 1)}",
        fontsize=10,
    )
    save_figure(figure, path)


def _draw_classes(axes: Any, classes: list[dict[str, Any]]) -> None:
    places = range(len(classes))
    learnable, unlearnable = (
        [100 * each[name] / each["images"] for each in classes] for name in ("learnable", "unlearnable")
    )
    axes.barh(places, unlearnable, color=_WRONG, label="unlearnable")
    axes.barh(places, learnable, left=[100 - share for share in learnable], color=_RIGHT, label="learnable")
    if len(classes) <= 25:
        axes.set_yticks(places, [each["name"] for each in classes], fontsize=8)
    axes.set(xlim=(0, 100), xlabel="share of the class, % (between: ambiguous)")
    axes.invert_yaxis()


def draw_examples(picture: dict[str, Any], path: str | Path) -> None:
    """Draw the least and the most learnable images, with their labels and what the references see instead.

    Args:
        picture: `{"references", "rows": [{"title", "of", "images": [{"pixels", "caption", "seen_as"}]}]}`, pixels from
            0 to 255.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    rows = picture["rows"]
    columns = max(1, *(len(row["images"]) for row in rows))
    figure = Figure(figsize=(1 + 1.05 * columns, 0.3 + 1.75 * len(rows)), layout="constrained")
    parts: Any = figure.subfigures(len(rows), 1)
    which = {0: "wrong under attack for", 1: "right under attack for"}
    for k, (part, row) in enumerate(zip(parts, rows, strict=True)):
        count = picture["references"]
        whom = f"all {count} references" if count > 1 else "the reference"
        part.suptitle(f"{row['title']} of {row['of']} images {which[k]} {whom}", fontsize=9, x=0.01, ha="left")
        for axes, image in zip(
            part.subplots(1, columns, squeeze=False)[0], _filled(row["images"], columns), strict=True
        ):
            axes.set_axis_off()
            if image is not None:
                axes.imshow(image["pixels"], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                other = image["seen_as"] not in (None, image["caption"])
                text = f"{image['caption']}\nseen as {image['seen_as']}" if other else image["caption"]
                axes.set_title(text, fontsize=7, color=_WRONG if other else "black")
    save_figure(figure, path)


def _filled(images: list[Any], columns: int) -> list[Any]:
    return [*images, *[None] * (columns - len(images))]
