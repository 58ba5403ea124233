"""How the adversarial loss rises around the weights: along directions, and in a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustill.drawing.lines import Line, line_chart
from robustill.report.landscape import levels_of, rises
from robustill.report.page.content import Block, Cell, Figure, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import plain_cell, share_cell
from robustill.report.page.plane import Panel, plane_chart

_AXIS = "r (1: as long as the weights)"


def landscape(run: Run, id_: str) -> list[Block]:
    """Return losses and robust accuracy along directions, all networks over each other, and planes where they are."""
    found = run.content("landscape")
    if found is None or not found["runs"]:
        return []
    settings, runs = found["settings"], found["runs"]
    words = (
        f"Adversarial loss ({settings['norm']} eps {settings['eps']:g}) at the weights moved by r along "
        f"{settings['directions']} random filter-normalised directions, on {settings['images']} {settings['split']} "
        f"images. A small rise at r = {settings['flatness_at']:g} is a flat minimum; networks with small logits look "
        "flat too, so see whether robust accuracy falls less as well."
    )
    return [
        Words(words),
        _losses(found, id_, words),
        *_accuracies(found, id_),
        *_directions(found, id_),
        *_planes({name: each for name, each in runs.items() if each.get("plane")}, id_),
    ]


def _losses(found: dict[str, Any], id_: str, words: str) -> Figure:
    svg = line_chart(
        f"{id_}-landscape", "Loss landscape", words, _means(found, "curves"), x_label=_AXIS, y_label="adversarial loss"
    )
    rows = [_flatness(name, each) for name, each in found["runs"].items()]
    columns = ("network", "loss at r = 0", "rise of the loss", "sd over directions", "fall of robust accuracy, %")
    table = Table(f"Flatness at r = {found['settings']['flatness_at']:g}", columns, rows)
    return Figure(svg, "Mean over the directions; bands from the lowest to the highest.", table)


def _accuracies(found: dict[str, Any], id_: str) -> list[Block]:
    runs, radii = found["runs"], found["radii"]
    if not all("robust_curves" in each for each in runs.values()):
        return []
    lines = _means(found, "robust_curves", 100.0)
    about = "; ".join(f"{name} falls from {100 * each['robust']:.1f}%" for name, each in runs.items()) + "."
    svg = line_chart(
        f"{id_}-landscape-robust", "Robust accuracy around the weights", about, lines, x_label=_AXIS,
        y_label="right under attack, %", y_range=(0.0, 100.0),
    )  # fmt: skip
    rows = [(plain_cell(r), *(plain_cell(line.y[k], ".1f") for line in lines)) for k, r in enumerate(radii)]
    table = Table("Robust accuracy around the weights, mean over the directions, %", ("r", *runs), rows)
    return [Figure(svg, "Robust accuracy, mean over the directions; bands from the lowest to the highest.", table)]


def _means(found: dict[str, Any], key: str, scale: float = 1.0) -> list[Line]:
    lines = []
    for number, (name, each) in enumerate(found["runs"].items()):
        columns = [[scale * value for value in column] for column in zip(*each[key], strict=True)]
        band = (list(map(min, columns)), list(map(max, columns)))
        lines.append(Line(name, found["radii"], [sum(column) / len(column) for column in columns], band, number))
    return lines


def _flatness(name: str, run: dict[str, Any]) -> tuple[Cell, ...]:
    rise, drop = run["flatness"]["rise"], run["flatness"]["robust_drop"]
    return (
        name, plain_cell(run["loss"], ".3f"), plain_cell(rise["mean"], ".3f"), plain_cell(rise["sd_directions"], ".3f"),
        share_cell(drop["mean"], 1),
    )  # fmt: skip


def _directions(found: dict[str, Any], id_: str) -> list[Block]:
    """Return every direction by itself: drawn for one network, as a table for several."""
    radii, runs = found["radii"], found["runs"]
    count = min(len(each["curves"]) for each in runs.values())
    if count < 2:
        return []
    names = [f"d{k + 1}" for k in range(count)]
    if len(runs) > 1:
        rows = [(name, *(plain_cell(max(curve) - each["loss"], ".3f") for curve in each["curves"][:count]))
                for name, each in runs.items()]  # fmt: skip
        return [Table("Highest rise of the loss along each direction", ("network", *names), rows)]
    ((name, run),) = runs.items()
    above = [[value - run["loss"] for value in curve] for curve in run["curves"]]
    lines = [Line(label, radii, curve) for label, curve in zip(names, above, strict=True)]
    about = "; ".join(f"{line.label} rises by up to {max(v for v in line.y if v is not None):.3f}" for line in lines)
    svg = line_chart(
        f"{id_}-landscape-directions", "Rise of the loss along each direction", f"{about}.", lines, x_label=_AXIS,
        y_label="rise of the loss",
    )  # fmt: skip
    rows = [(plain_cell(r), *(plain_cell(curve[k], ".3f") for curve in above)) for k, r in enumerate(radii)]
    table = Table(f"Rise of the loss of {name} along each direction", ("r", *names), rows)
    return [Figure(svg, "Each direction by itself: how far the mean above depends on the draw.", table)]


def _planes(runs: Mapping[str, dict[str, Any]], id_: str) -> list[Block]:
    if not runs:
        return []
    sides = next(iter(runs.values()))["plane"]["radii"]
    shown = {name: rises(each) for name, each in runs.items()}
    panels = [Panel(name, f"loss in the middle {runs[name]['loss']:.3f}", rows) for name, rows in shown.items()]
    about = "; ".join(_described(name, rows, sides) for name, rows in shown.items()) + "."
    svg = plane_chart(
        f"{id_}-plane", "Rise of the loss in a plane", about, panels, sides=sides, levels=levels_of(runs.values()),
        labels=("r along d1", "r along d2", "rise of the loss"),
    )  # fmt: skip
    table = Table(
        "Rise of the loss in the plane of two directions",
        ("network", "r along d2", *(f"d1: {a:g}" for a in sides)),
        [(name, plain_cell(b), *(plain_cell(value, ".3f") for value in row))
         for name, rows in shown.items() for b, row in zip(sides, rows, strict=True)],
    )  # fmt: skip
    caption = f"Rise of the loss in the plane of the first two directions, the same levels throughout. {about}"
    return [Figure(svg, caption, table)]


def _described(name: str, rows: Sequence[Sequence[float]], sides: Sequence[float]) -> str:
    top, a, b = max(
        (value, a, b) for b, row in zip(sides, rows, strict=True) for a, value in zip(sides, row, strict=True)
    )
    low = min(value for row in rows for value in row)
    lower = f", and falls by up to {-low:.3g}" if low < 0 else ""
    return f"{name} rises by up to {top:.3g}, at ({a:g}, {b:g}){lower}"
