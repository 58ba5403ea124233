"""What is proven: the bracket of relative calibration, and certified accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustill.drawing.lines import Line, line_chart
from robustill.report.page.content import Block, Figure, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import interval, percent, plain_cell, share_cell

_RIGHT = {"teacher": "the teacher classifies", "student": "the student classifies", "both": "both classify"}


def bracket(run: Run, id_: str) -> list[Block]:
    """Return how far the student's probabilities lie from the teacher's: found from below, certified from above."""
    found = run.content("calibration")
    if found is None or not found["points"]["count"]:
        return []
    points, radii, certified = found["points"], found["radii"], found["bounds"] is not None
    eps = [0.0, *(each["eps"] for each in radii)]
    lower = [found["clean"]["calibration"], *(each["calibration"]["lower"] for each in radii)]
    lines = [_line("found by attack", eps, lower, 1)]
    if certified:
        upper = [found["clean"]["calibration"], *(each["calibration"]["upper"] for each in radii)]
        lines.append(_line("certified: not above", eps, upper, 0))
    words = (
        "Relative calibration: how far the student's confidence in the true class can stray from its teacher's at an "
        f"image within eps, on the {points['count']:,} of {found['images']:,} images that {_RIGHT[points['right']]} "
        "right. 0 is a student as sure as its teacher everywhere. " + _gap(radii[-1], found["bounds"])
    )
    svg = line_chart(
        f"{id_}-calibration", "Relative calibration over the radius", words, lines,
        x_label=f"radius eps ({found['threat']['norm']}, pixels in [0, 1])", y_label="mean relative calibration",
        y_range=(0.0, max(end for line in lines for end in (line.band or ((0.0,), (0.0,)))[1])),
        between=(0, 1) if certified else None,
    )  # fmt: skip
    truth = "The truth lies in the shaded area" if certified else "The truth may lie anywhere above the line"
    return [Words(words), Figure(svg, f"{truth}; bands are 95% intervals.", _table(radii))]


def _line(label: str, eps: list[float], entries: list[dict[str, Any]], paint: int) -> Line:
    low, high = ([each["interval"][end] for each in entries] for end in (0, 1))
    return Line(label, eps, [each["mean"] for each in entries], band=(low, high), color=paint)


def _gap(last: dict[str, Any], bounds: str | None) -> str:
    lower, upper = (last["calibration"][end]["mean"] for end in ("lower", "upper"))
    at = f"At eps {last['eps']:g} its mean is at least {lower:.3f}"
    return f"{at}." if bounds is None else f"{at} and, certified by {bounds}, at most {upper:.3f}."


def _table(radii: Sequence[dict[str, Any]]) -> Table:
    rows = [
        (plain_cell(each["eps"]), plain_cell(each["calibration"]["lower"]["mean"], ".4f"),
         plain_cell(each["calibration"]["upper"]["mean"], ".4f"), share_cell(each["agreement"]["found"]["share"], 1),
         share_cell(each["agreement"]["certified"]["share"], 1))
        for each in radii
    ]  # fmt: skip
    columns = ("eps", "found", "certified", "no disagreement found, %", "agreement certified, %")
    return Table("Relative calibration (mean) and agreement of student and teacher", columns, rows)


def certified(run: Run, id_: str) -> list[Block]:
    """Return certified accuracy over the radius, below what attacks leave."""
    found = run.content("certification")
    if found is None or not found["radii"]:
        return []
    smoothed = found.get("smoothed")
    lines = _brackets(found) if smoothed is None else [_smooth(smoothed, found["images"])]
    if not lines:
        return []
    last = found["radii"][-1]
    how = "" if smoothed is None else f" (the network smoothed with sigma {smoothed['sigma']:g})"
    words = f"On {found['images']:,} images, {_certainly(last, found['bounds'])}{how}."
    svg = line_chart(
        f"{id_}-certified", "Certified accuracy over the radius", words, lines,
        x_label=f"radius eps ({found['threat']['norm']}, pixels in [0, 1])", y_label="right predictions, %",
        y_range=(0.0, 100.0), between=(0, 1) if len(lines) == 2 else None,
    )  # fmt: skip
    rows = []
    for each in found["radii"]:
        sides = [each["certified"] or {}, each["attacked"] or {}]
        cells = [(share_cell(side.get("accuracy")), interval(side.get("interval"))) for side in sides]
        rows.append((plain_cell(each["eps"]), *(cell for pair in cells for cell in pair)))
    columns = ("eps", "certified", "95% interval", "no attack found", "95% interval of it")
    table = Table("Certified accuracy over the radius, %", columns, rows)
    caption = "No attack of any kind can bring the accuracy below the certified line."
    caption += " What lies in the shaded area is not known." if len(lines) == 2 else ""
    return [Words(words), Figure(svg, caption, table)]


def _certainly(last: dict[str, Any], bounds: str | None) -> str:
    found = []
    if last["certified"] is not None:
        found.append(f"{percent(last['certified']['accuracy'])} are proven right by {bounds}")
    if last["attacked"] is not None:
        found.append(f"{percent(last['attacked']['accuracy'])} stand up to the attacks that were tried")
    return f"within eps {last['eps']:g}, {' and '.join(found)}"


def _brackets(found: dict[str, Any]) -> list[Line]:
    eps = [0.0, *(each["eps"] for each in found["radii"])]
    lines = []
    for side, label, paint in (("attacked", "no attack found", 1), ("certified", f"certified ({found['bounds']})", 0)):
        if all(each[side] is not None for each in found["radii"]):
            entries = [found["clean"], *(each[side] for each in found["radii"])]
            low, high = ([100 * each["interval"][end] for each in entries] for end in (0, 1))
            lines.append(Line(label, eps, [100 * each["accuracy"] for each in entries], (low, high), paint))
    return lines


def _smooth(smoothed: dict[str, Any], images: int) -> Line:
    radii = [0.0, *smoothed["right_radii"]]
    shares = [100 * (len(radii) - 1 - k) / images for k in range(len(radii))]
    return Line("certified, smoothed", radii, shares, color=0, steps=True)
