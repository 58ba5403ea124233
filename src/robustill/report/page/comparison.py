"""Several runs side by side, and their differences on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from robustill.drawing.intervals import Bar, interval_chart
from robustill.drawing.lines import Line, line_chart
from robustill.report.page.attacks import curve_line
from robustill.report.page.content import Block, Cell, Figure, Points, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import interval, percent, plain_cell, share_cell, signed_cell, whole_cell
from robustill.report.page.pairs import Difference, paired
from robustill.report.page.verdicts import Verdicts, read_verdicts
from robustill.report.page.warnings import selected

_ALL_PAIRS = 4
_CAUTION = (
    "Intervals are over test images: they say how sure it is that these two trained networks differ, and not that one "
    "method is better than another, for which several seeds of each are needed. They are not adjusted for the number "
    "of comparisons."
)

Pair = tuple[str, str, Difference, Difference]


def comparison(runs: Sequence[Run]) -> list[Block]:
    """Return tables and figures of two runs or more."""
    evaluated = [(run, run.files["evaluation"].content) for run in runs if "evaluation" in run.files]
    if len(evaluated) < 2:
        return [Words("Fewer than two of these runs have been evaluated, so there is nothing to compare yet.")]
    return [
        _side_by_side(evaluated),
        *_differences([run for run, _ in evaluated]),
        *_courses(runs),
        *_curves(evaluated),
    ]


def _side_by_side(evaluated: Sequence[tuple[Run, dict[str, Any]]]) -> Figure:
    attacks = list(dict.fromkeys(name for _, each in evaluated for name in each["attacks"]))
    rows: list[tuple[Cell, ...]] = []
    bars = []
    for number, (run, each) in enumerate(evaluated):
        own = [share_cell(each["attacks"].get(name, {}).get("accuracy")) for name in attacks]
        threat = f"{each['threat']['norm']} {each['threat']['eps']:.3g}"
        rows.append(
            (run.name, str(run.setting("method", "name") or "-"), threat, whole_cell(each["images"]),
             share_cell(each["clean"]["accuracy"]), *own, share_cell(each["robust"]["accuracy"]),
             interval(each["robust"]["interval"]), share_cell(each["robust"].get("wra")))
        )  # fmt: skip
        for kind, label in (("clean", "no attack"), ("robust", "worst case")):
            share, ends = each[kind]["accuracy"], each[kind]["interval"]
            name = f"{run.name}, {label}"
            bars.append(Bar(name, 100 * share, (100 * ends[0], 100 * ends[1]), percent(share), number, kind == "clean"))
    columns = ("run", "method", "threat", "images", "no attack", *attacks, "worst case", "95% interval", "WRA")
    table = Table("Runs side by side, accuracy in %; WRA: mean of clean and worst case", columns, rows)
    about = "; ".join(f"{bar.label} {bar.text}" for bar in bars) + "."
    svg = interval_chart(
        "all-runs", "Accuracy of the runs", about, bars, x_label="right predictions, %", x_range=(0.0, 100.0)
    )
    caption = "Accuracy without an attack (rings) and in the worst case over the attacks, with exact 95% intervals."
    return Figure(svg, caption, table, open=True)


def _differences(runs: Sequence[Run]) -> list[Block]:
    found, pairs, reasons = {run.name: read_verdicts(run) for run in runs}, [], []
    for one, other in _pairs(runs):
        a, b = found[one.name], found[other.name]
        reason = a if isinstance(a, str) else b if isinstance(b, str) else _unlike(a, b)
        if reason is not None:
            reasons.append(f"{one.name} and {other.name}: no paired difference, since {reason}.")
        elif not isinstance(a, str) and not isinstance(b, str):
            pairs.append((one.name, other.name, *_pair(a, b)))
    drawn: list[Block] = [_drawn(pairs), Words(_CAUTION)] if pairs else []
    return [*drawn, *([Points(list(dict.fromkeys(reasons)))] if reasons else [])]


def _pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Return all pairs of few runs; of many, the most robust with each of the others."""
    if len(runs) <= _ALL_PAIRS:
        return list(combinations(runs, 2))
    best = max(runs, key=lambda run: run.files["evaluation"].content["robust"]["accuracy"])
    return [(best, run) for run in runs if run is not best]


def _unlike(a: Verdicts, b: Verdicts) -> str | None:
    if not a.of_same_images(b):
        return "they were evaluated on other images"
    if a.threat != b.threat:
        return "they were attacked with another radius or norm"
    if not (a.right.keys() & b.right.keys()) - {"clean"}:
        return "no attack was run on both"
    return None


def _pair(a: Verdicts, b: Verdicts) -> tuple[Difference, Difference]:
    attacks = [name for name in a.right if name in b.right and name != "clean"]
    return paired(a.right["clean"], b.right["clean"]), paired(a.worst(attacks), b.worst(attacks))


def _drawn(pairs: Sequence[Pair]) -> Figure:
    rows: list[tuple[Cell, ...]] = []
    bars = []
    for one, other, *both in pairs:
        for number, (label, each) in enumerate(zip(("no attack", "worst case"), both, strict=True)):
            low, high = each.interval()
            sign = "+" if each.value > 0 else ""
            rows.append(
                (f"{one} less {other}", label, signed_cell(each.value), f"{100 * low:+.2f} to {100 * high:+.2f}",
                 whole_cell(each.only_first), whole_cell(each.only_second), plain_cell(each.p(), ".2g"))
            )  # fmt: skip
            text = f"{sign}{100 * each.value:.1f}"
            bars.append(Bar(f"{one} less {other}, {label}", 100 * each.value, (100 * low, 100 * high), text, number))
    wide = max(max(abs(end) for end in bar.ends or (0.0,)) for bar in bars)
    svg = interval_chart(
        "all-pairs", "Paired differences", "; ".join(f"{bar.label}: {bar.text} points" for bar in bars) + ".", bars,
        x_label="difference, percentage points", x_range=(-1.1 * wide, 1.1 * wide), zero=False,
    )  # fmt: skip
    columns = ("pair", "under", "difference", "95% interval", "only first right", "only second right", "McNemar p")
    table = Table("Paired differences on the same images, in percentage points", columns, rows)
    caption = (
        "Differences with 95% intervals; an interval that holds 0 shows no difference. Worst case: over the attacks "
        "that were run on both."
    )
    return Figure(svg, caption, table, open=True)


def _courses(runs: Sequence[Run]) -> list[Block]:
    """Return the validation accuracies of all runs in one figure."""
    lines, rows = [], []
    for number, run in enumerate(runs):
        judged = [line for line in run.epochs if "validation" in line]
        chosen = selected(run)
        if chosen is not None:
            kept, kind = chosen
            values = [line["validation"][kind] for line in judged]
            lines.append(Line(f"{run.name}, {kind}", [line["epoch"] + 1 for line in judged],
                              [100 * value for value in values], color=number))  # fmt: skip
            rows.append((run.name, kind, whole_cell(kept["epoch"] + 1), share_cell(kept["validation"][kind]),
                         whole_cell(judged[-1]["epoch"] + 1), share_cell(values[-1])))  # fmt: skip
    if len(lines) < 2:
        return []
    about = "; ".join(f"{line.label} ends at {line.y[-1]:.1f}%" for line in lines) + "."
    svg = line_chart(
        "all-courses", "Validation accuracy of the runs", about, lines, x_label="epoch", y_label="right predictions, %",
        y_range=_tens([value for line in lines for value in line.y if value is not None]), whole=True,
    )  # fmt: skip
    columns = ("run", "selected on", "selected epoch", "selected", "last epoch", "last")
    table = Table("Selected and last epoch of each run, validation accuracy in %", columns, rows)
    return [Figure(svg, "Accuracy that each run was selected on, over its epochs.", table)]


def _tens(values: Sequence[float]) -> tuple[float, float]:
    """Return a range of whole tens around values."""
    return 10.0 * math.floor(min(values) / 10), 10.0 * math.ceil(max(values) / 10)


def _curves(evaluated: Sequence[tuple[Run, dict[str, Any]]]) -> list[Block]:
    asked = [(number, run, each) for number, (run, each) in enumerate(evaluated) if "curve" in each]
    if len(asked) < 2 or len({each["threat"]["norm"] for _, _, each in asked}) > 1:
        return []
    lines, rows = [], []
    for number, run, each in asked:
        line = curve_line(each, run.name)
        lines.append(Line(line.label, line.x, line.y, line.band, number))
        rows += [(run.name, plain_cell(x), plain_cell(y, ".2f")) for x, y in zip(line.x, line.y, strict=True)]
    norm = asked[0][2]["threat"]["norm"]
    svg = line_chart(
        "all-curves", "Accuracy of the runs over the radius", "Each run's worst case falls as the radius grows.", lines,
        x_label=f"radius eps ({norm}, pixels in [0, 1])", y_label="right predictions, %", y_range=(0.0, 100.0),
    )  # fmt: skip
    table = Table("Worst case over the radius, %", ("run", "eps", "accuracy"), rows)
    return [Figure(svg, "Worst case over the radius; bands are 95% intervals.", table)]
