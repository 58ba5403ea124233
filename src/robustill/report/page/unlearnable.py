"""Training images that no reference learns robustly: how many, how that depends on the references, which classes."""

from __future__ import annotations

from typing import Any

from robustill.drawing.intervals import Bar, interval_chart
from robustill.drawing.lines import Line, line_chart
from robustill.report.page.content import Block, Cell, Figure, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import count, percent, plain_cell, radius, share_cell, whole_cell
from robustill.report.page.shares import Share, share_chart
from robustill.report.page.thumbnails import thumbnails

_WRONG, _RIGHT, _MOST = 1, 0, 25


def unlearnable(run: Run, id_: str) -> list[Block]:
    """Return the robustly unlearnable and the learnable set, with pictures of both where there are some."""
    found = run.content("unlearnable")
    if found is None or not found["images"]:
        return []
    return [
        Words(_words(found)),
        _histogram(found, id_),
        *_stability(found, id_),
        *_classes(found, id_),
        *_suspects(found),
    ]


def pictured(run: Run) -> list[Block]:
    """Return the least and the most learnable images, where their pixels were kept."""
    found = run.content("examples")
    return [] if found is None else thumbnails(found)


def _words(found: dict[str, Any]) -> str:
    images, references = found["images"], len(found["references"])
    sizes = found["sizes"]["intersection"]
    whom = {1: "the one reference", 2: "both references"}.get(references, f"all {references} references")
    return (
        f"Of {count(images)} clean training images of {found['data']}, {count(sizes['unlearnable'])} "
        f"({percent(sizes['unlearnable'] / images)}) are wrong under {found['attack']} ({found['norm']} eps "
        f"{radius(found['eps'])}) for {whom} of the student's architecture, trained adversarially: robustly "
        f"unlearnable. {count(sizes['learnable'])} ({percent(sizes['learnable'] / images)}) are right for {whom}. "
        "Both sets shrink with every further reference, so their sizes mean nothing without that number."
    )


def _histogram(found: dict[str, Any], id_: str) -> Figure:
    images, last = found["images"], len(found["references"])
    bars, rows = [], []
    for k, n in enumerate(found["histogram"]):
        name = {0: "0, unlearnable", last: f"{last}, learnable"}.get(k, str(k))
        paint = {0: _WRONG, last: _RIGHT}.get(k, 6)
        bars.append(Bar(name, 100 * n / images, None, percent(n / images), paint))
        rows.append((str(k), whole_cell(n), share_cell(n / images)))
    about = "; ".join(f"right for {bar.label}: {bar.text}" for bar in bars) + "."
    svg = interval_chart(
        f"{id_}-references", "References that stay right under attack", about, bars, x_label="share of the images, %",
        x_range=(0.0, 100.0),
    )  # fmt: skip
    table = Table("Images by the number of references that stay right", ("references right", "images", "%"), rows)
    return Figure(svg, f"How many of the {last} references stay right under attack on an image.", table)


def _stability(found: dict[str, Any], id_: str) -> list[Block]:
    points, images = found["stability"], found["images"]
    if len(points) < 2:
        return []
    x = [point["references"] for point in points]
    lines = [
        Line(name, x, [100 * point[name] / images for point in points], color=paint)
        for name, paint in (("learnable", _RIGHT), ("unlearnable", _WRONG))
    ]
    first, last = points[0], points[-1]
    about = (
        f"Unlearnable: {percent(first['unlearnable'] / images)} with one reference, "
        f"{percent(last['unlearnable'] / images)} with {last['references']}."
    )
    svg = line_chart(
        f"{id_}-stability", "Sizes of both sets over the number of references", about, lines, x_label="references",
        y_label="share of the images, %", y_range=(0.0, 100.0), whole=True,
    )  # fmt: skip
    rows = [
        (whole_cell(p["references"]), plain_cell(p["unlearnable"], ",.1f"), plain_cell(p["learnable"], ",.1f"))
        for p in points
    ]
    table = Table("Images in both sets by references", ("references", "unlearnable", "learnable"), rows)
    return [Figure(svg, f"{about} Means over all subsets of the references.{_overlap(found)}", table)]


def _overlap(found: dict[str, Any]) -> str:
    pairs = [value for k, row in enumerate(found["jaccard"]) for value in row[:k]]
    if not pairs:
        return ""
    low, high = f"{min(pairs):.2f}", f"{max(pairs):.2f}"
    return f" What two references get wrong overlaps by {low if low == high else f'{low} to {high}'} (Jaccard)."


def _classes(found: dict[str, Any], id_: str) -> list[Block]:
    rows: list[tuple[Cell, ...]] = []
    shares = []
    for each in sorted(found["classes"], key=lambda one: -one["unlearnable"] / one["images"]):
        wrong, right = each["unlearnable"] / each["images"], each["learnable"] / each["images"]
        rows.append((each["name"], whole_cell(each["images"]), whole_cell(each["unlearnable"]), share_cell(wrong, 1),
                     whole_cell(each["learnable"]), share_cell(right, 1)))  # fmt: skip
        shares.append(Share(each["name"], 100 * wrong, 100 * right, percent(wrong)))
    columns = ("class", "images", "unlearnable", "unlearnable, %", "learnable", "learnable, %")
    table = Table("Both sets by class", columns, rows)
    if not 0 < len(rows) <= _MOST:
        return [table] if rows else []
    about = f"Most unlearnable: {shares[0].label}, {shares[0].text}; least: {shares[-1].label}, {shares[-1].text}."
    svg = share_chart(
        f"{id_}-unlearnable-classes", "Unlearnable and learnable images by class", about, shares,
        names=("unlearnable", "learnable"), colors=(_WRONG, _RIGHT), x_label="share of the class, %",
    )  # fmt: skip
    return [Figure(svg, f"{about} Between both sets, the references disagree.", table)]


def _suspects(found: dict[str, Any]) -> list[Block]:
    suspects = found["label_errors"]
    if not suspects:
        return []
    rows = [(plain_cell(each["row"], "d"), each["label"], each["seen_as"]) for each in suspects[:_MOST]]
    more = f", the first {_MOST} of {count(len(suspects))}" if len(suspects) > _MOST else ""
    caption = f"Labels to look at: unlearnable, and seen as one other class by all without an attack{more}"
    return [Table(caption, ("row of the training data", "label", "seen as"), rows)]
