"""The ranking of teachers."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from robustill.drawing.intervals import Bar, interval_chart
from robustill.report.page.content import Block, Cell, Figure, Number, Points, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import plain_cell, share_cell

_SURFACES = {"clean": "clean images", "student": "images crafted on the student", "teacher": "images crafted on itself"}


def teachers(run: Run, id_: str) -> list[Block]:
    """Return teachers by their entropy on what the student's architecture cannot learn."""
    found = run.content("teachers")
    if found is None or not found["teachers"]:
        return []
    places = {each["name"]: each["rank"] for each in found["ranking"]}
    order = sorted(found["teachers"], key=lambda each: places.get(each["name"], len(places) + 1))
    bars, rows = [], []
    for each in order:
        score = each["surfaces"][found["surface"]]["entropy"]["unlearnable"]
        rows.append(_row(each, places, score))
        if score["mean"] is not None:
            dropped = bool(each["dropped"])
            text = f"{score['mean']:.2f}"
            bars.append(Bar(each["name"], score["mean"], tuple(score["interval"]), text, 1 if dropped else 0, dropped))
    words = (
        f"Teachers ranked by {found['criterion'].replace('_', ' ')} on {_SURFACES[found['surface']]}, at temperature "
        f"{found['temperature']:g}, over {found['sizes']['unlearnable']:,} images that {found['references']} "
        "references of the student's architecture cannot learn robustly. An uncertain teacher keeps the student from "
        "memorising them."
    )
    columns = ("teacher", "rank", "tied with", "entropy, nats", "95% interval", "robust on learnable, %")
    table = Table("Teachers in the order in which they promise to help", columns, rows)
    blocks: list[Block] = [Words(words), *_drawn(bars, words, id_, table, log(order[0]["classes"]))]
    reasons = [f"{each['name']} is not ranked: {reason}." for each in order for reason in each["dropped"]]
    return [*blocks, *([Points(reasons)] if reasons else [])]


def _drawn(bars: Sequence[Bar], words: str, id_: str, table: Table, top: float) -> list[Block]:
    if not bars:
        return [table]
    svg = interval_chart(
        f"{id_}-teachers", "Entropy of teachers on the unlearnable images", words, bars,
        x_label=f"mean entropy, nats (uniform: {top:.2f})", x_range=(0.0, top),
    )  # fmt: skip
    return [Figure(svg, "Mean entropy with 95% bootstrap intervals; rings: not ranked.", table)]


def _row(teacher: dict[str, Any], places: dict[str, int], score: dict[str, Any]) -> tuple[Cell, ...]:
    rank = places.get(teacher["name"])
    ends = score["interval"]
    return (
        teacher["name"],
        Number(rank, "dropped" if rank is None else str(rank)),
        str(sum(place == rank for place in places.values()) - 1) if rank is not None else "-",
        plain_cell(score["mean"], ".3f"),
        "-" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}",
        share_cell(teacher["robust_accuracy_learnable"]["mean"], 1),
    )
