"""Accuracy under each attack, per class, and over the radius."""

from __future__ import annotations

from typing import Any

from robustill.drawing.intervals import Bar, interval_chart
from robustill.drawing.lines import Line, line_chart
from robustill.report.page.content import Block, Cell, Figure, Table
from robustill.report.page.folder import OTHERS, Run, reading
from robustill.report.page.numbers import interval, percent, plain_cell, share_cell, whole_cell
from robustill.terminal import printable


def accuracies(run: Run, id_: str) -> list[Block]:
    """Return accuracy without an attack, under each attack, and in the worst case; and class by class."""
    evaluation = run.content("evaluation")
    if evaluation is None:
        return []
    entries = _entries(evaluation)
    bars = [
        Bar(name, 100 * each["accuracy"], _ends(each["interval"]), percent(each["accuracy"]), paint)
        for name, each, paint in entries
    ]
    svg = interval_chart(
        f"{id_}-attacks", "Accuracy under attack", _described(entries), bars, x_label="right predictions, %",
        x_range=(0.0, 100.0),
    )  # fmt: skip
    caption = "Share of right predictions with exact (Clopper-Pearson) 95% intervals."
    return [
        Figure(svg, caption, _table(evaluation, entries), open=True),
        *_stages(evaluation),
        *_classes(evaluation, id_),
        *others(run),
    ]


def others(run: Run) -> list[Block]:
    """Return what was found at other radii, or on other images, of the same weights."""
    evaluation = run.content("evaluation") or {}
    rows: list[tuple[Cell, ...]] = []
    for name, found in run.files.items():
        if name.startswith(OTHERS) and found.content.get("model_digest") == evaluation.get("model_digest"):
            with reading(run, name):
                rows.append(_other(found.content))
    columns = ("attacks", "threat", "images", "no attack", "worst case", "95% interval")
    return [Table("Other evaluations of these weights, accuracy in %", columns, rows)] if rows else []


def _other(found: dict[str, Any]) -> tuple[Cell, ...]:
    threat, robust = found["threat"], found["robust"]
    images = f"{found['images']:,} {found['split']} images of {found['data']}"
    attacks, where = ", ".join(found["attacks"]) or "none", f"{threat['norm']} eps {threat['eps']:.4g}"
    shares = share_cell(found["clean"]["accuracy"]), share_cell(robust["accuracy"])
    return printable(attacks), where, printable(images), *shares, interval(robust["interval"])


def _entries(evaluation: dict[str, Any]) -> list[tuple[str, dict[str, Any], int]]:
    found = [("no attack", evaluation["clean"], 0)]
    found += [(name, each, 1) for name, each in evaluation["attacks"].items()]
    if len(evaluation["attacks"]) > 1:
        found.append(("worst case", evaluation["robust"], 2))
    return found


def _table(evaluation: dict[str, Any], entries: list[tuple[str, dict[str, Any], int]]) -> Table:
    rows = [
        (name, share_cell(each["accuracy"]), interval(each["interval"]), share_cell(each.get("wra")))
        for name, each, _ in entries
    ]
    caption = f"Accuracy in % on {evaluation['images']:,} images; WRA: mean of clean accuracy and this one"
    if "drawn" in evaluation:
        caption += f". Drawn: {evaluation['drawn']}"
    return Table(caption, ("attack", "accuracy", "95% interval", "WRA"), rows)


def _stages(evaluation: dict[str, Any]) -> list[Block]:
    rows: list[tuple[Cell, ...]] = []
    for name, entry in evaluation["attacks"].items():
        for stage, each in entry.get("stages", {}).items():
            label = name if entry.get("standard") else f"{name} (not the standard)"
            rows.append((f"{label}: after {stage}", share_cell(each["accuracy"]), plain_cell(each["seconds"], ".1f")))
    return [Table("Stages of ensembles, accuracy in %", ("stage", "accuracy", "seconds"), rows)] if rows else []


def _classes(evaluation: dict[str, Any], id_: str) -> list[Block]:
    classes = evaluation.get("classes", [])
    if not classes:
        return []
    rows = [
        (each["name"], whole_cell(each["images"]), share_cell(each["clean"]["accuracy"], 1),
         share_cell(each["robust"]["accuracy"], 1), interval(each["robust"]["interval"]))
        for each in classes
    ]  # fmt: skip
    table = Table(
        "Accuracy of each class, %", ("class", "images", "no attack", "worst case", "95% interval, worst case"), rows
    )
    if len(classes) > 25:
        return [table]
    bars = []
    for each in sorted(classes, key=lambda one: one["robust"]["accuracy"]):
        share = each["robust"]["accuracy"]
        bars.append(Bar(each["name"], 100 * share, _ends(each["robust"]["interval"]), percent(share), 2))
    svg = interval_chart(
        f"{id_}-classes", "Accuracy of each class in the worst case",
        f"Weakest: {bars[0].label} with {bars[0].text}; strongest: {bars[-1].label} with {bars[-1].text}.",
        bars, x_label="right in the worst case over the attacks, %", x_range=(0.0, 100.0),
    )  # fmt: skip
    return [Figure(svg, "Classes from the weakest to the strongest, in the worst case over the attacks.", table)]


def curve(run: Run, id_: str) -> list[Block]:
    """Return the worst case over the radius."""
    evaluation = run.content("evaluation")
    if evaluation is None or "curve" not in evaluation:
        return []
    points = curve_points(evaluation)
    attacks, norm = ", ".join(evaluation["curve"]["attacks"]), evaluation["threat"]["norm"]
    svg = line_chart(
        f"{id_}-eps", "Accuracy over the radius", _fall(points), [curve_line(evaluation, attacks)],
        x_label=f"radius eps ({norm}, pixels in [0, 1])", y_label="right predictions, %", y_range=(0.0, 100.0),
    )  # fmt: skip
    rows = [(plain_cell(each["eps"]), share_cell(each["accuracy"]), interval(each["interval"])) for each in points]
    table = Table(f"Worst case of {attacks} over the radius, %", ("eps", "accuracy", "95% interval"), rows)
    return [Figure(svg, f"Worst case of {attacks}; the band is the 95% interval.", table)]


def curve_points(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of the curve, from no attack on."""
    return [{"eps": 0.0, **evaluation["clean"]}, *(p for p in evaluation["curve"]["points"] if p["eps"] > 0)]


def curve_line(evaluation: dict[str, Any], label: str) -> Line:
    """Return the worst case over the radius as a line, in percent."""
    points = curve_points(evaluation)
    low, high = ([100 * each["interval"][end] for each in points] for end in (0, 1))
    x, y = [each["eps"] for each in points], [100 * each["accuracy"] for each in points]
    return Line(label, x, y, band=(low, high))


def _fall(points: list[dict[str, Any]]) -> str:
    ends = points[0], points[-1]
    return "From " + " to ".join(f"{percent(each['accuracy'])} at eps {each['eps']:g}" for each in ends) + "."


def _ends(ends: Any) -> tuple[float, float]:
    return 100 * ends[0], 100 * ends[1]


def _described(entries: list[tuple[str, dict[str, Any], int]]) -> str:
    return "; ".join(f"{name}: {percent(each['accuracy'])}" for name, each, _ in entries) + "."
