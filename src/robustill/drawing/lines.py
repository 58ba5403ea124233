"""Lines over a common axis, each named at its right end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from robustill.drawing.svg import Scale, axes, color, drawing, element, spanning, ticks

_HEIGHT, _LEFT, _TOP, _BOTTOM, _PLOT = 350.0, 52.0, 46.0, 48.0, 470.0
_LETTER, _ROW, _LONGEST = 7.7, 16.0, 34
_DASHES = (None, "7 3", "2 3", "9 3 2 3", "1 4", "12 4", "4 2")


@dataclass(frozen=True)
class Line:
    """Points that belong together; None is a gap.

    Args:
        label: Its name.
        x: Positions.
        y: Values.
        band: Lower and upper ends around the values, such as 95% intervals.
        color: Number of its colour; its place when None.
        steps: Whether the value holds until the next point.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    band: tuple[Sequence[float], Sequence[float]] | None = None
    color: int | None = None
    steps: bool = False


class Mark(NamedTuple):
    """A vertical line with a name."""

    x: float
    label: str


def line_chart(
    id_: str,
    title: str,
    about: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
    between: tuple[int, int] | None = None,
    whole: bool = False,
) -> Markup:
    """Return a chart as SVG.

    Args:
        id_: Of the figure, on no other one of the page.
        title: For a screen reader.
        about: What the figure shows, for a screen reader.
        lines: What is drawn; at least one with a point.
        x_label: Name of the horizontal axis.
        y_label: Name of the vertical axis.
        y_range: Its ends; those of the values when None.
        marks: Vertical lines.
        between: Two lines of the same positions between which the area is shaded.
        whole: Only whole numbers on the horizontal axis.

    Raises:
        ValueError: There is nothing finite to draw.
    """
    xs = [x for line in lines for x in line.x]
    ys = [y for line in lines for y in (*line.y, *(line.band or ((), ()))[0], *(line.band or ((), ()))[1])]
    values = [y for y in ys if y is not None and math.isfinite(y)]
    x = spanning(min(xs), max(xs), _LEFT, _LEFT + _PLOT)
    low, high = y_range or (min(values), max(values))
    y = spanning(low, high, _HEIGHT - _BOTTOM, _TOP)
    labels = [line.label if len(line.label) <= _LONGEST else line.label[: _LONGEST - 1] + "…" for line in lines]
    width = _LEFT + _PLOT + 44 + _LETTER * max(map(len, labels))
    numbers = [each for each in ticks(x.low, x.high) if each == round(each)] if whole else None
    parts = [axes(x, y, x_label, y_label, numbers)]
    parts += [_mark(mark, x, k) for k, mark in enumerate(marks)]
    if between is not None:
        parts.append(_area(lines[between[0]], lines[between[1]], x, y))
    parts += [_line(line, k, x, y) for k, line in enumerate(lines)]
    parts += _names(lines, labels, x, y)
    return drawing(id_, title, about, width, _HEIGHT, *parts)


def _mark(mark: Mark, x: Scale, number: int) -> Markup:
    at, after = x(mark.x), x(mark.x) < (x.start + x.end) / 2
    return Markup("").join((
        element("line", x1=at, x2=at, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="mark"),
        element("text", mark.label, x=at + (-3 if after else 3), y=_TOP - 5 - 13 * number, class_="tick",
                text_anchor="start" if after else "end"),
    ))  # fmt: skip


def _line(line: Line, number: int, x: Scale, y: Scale) -> Markup:
    paint, parts = color(number if line.color is None else line.color), []
    if line.band is not None:
        around = [*zip(line.x, line.band[1], strict=True), *reversed([*zip(line.x, line.band[0], strict=True)])]
        corners = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in around)
        parts.append(element("polygon", points=corners, fill=paint, class_="band"))
    dash = _DASHES[number % len(_DASHES)]
    points = [(x(a), y(b)) if b is not None and math.isfinite(b) else None for a, b in zip(line.x, line.y, strict=True)]
    parts.append(element("path", d=_path(points, line.steps), stroke=paint, class_="line", stroke_dasharray=dash))
    if not line.steps and len(points) <= 40:
        parts += [element("circle", cx=at[0], cy=at[1], r=3.0, fill=paint) for at in points if at is not None]
    return Markup("").join(parts)


def _path(points: Sequence[tuple[float, float] | None], steps: bool) -> str:
    parts, before = [], None
    for at in points:
        if at is not None:
            if before is not None and steps:
                parts.append(f"L{at[0]:.1f} {before[1]:.1f}")
            parts.append(f"{'M' if before is None else 'L'}{at[0]:.1f} {at[1]:.1f}")
        before = at
    return "".join(parts)


def _area(one: Line, other: Line, x: Scale, y: Scale) -> Markup:
    ends = [(a, b, c) for a, b, c in zip(one.x, one.y, other.y, strict=True) if b is not None and c is not None]
    around = [*((a, b) for a, b, _ in ends), *reversed([(a, c) for a, _, c in ends])]
    return element("polygon", points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in around), class_="unknown")


def _names(lines: Sequence[Line], labels: Sequence[str], x: Scale, y: Scale) -> list[Markup]:
    """Return the names at the right, moved apart where the lines end close together."""
    ends = []
    for k, line in enumerate(lines):
        last = [(a, b) for a, b in zip(line.x, line.y, strict=True) if b is not None and math.isfinite(b)]
        if last:
            ends.append((y(last[-1][1]), x(last[-1][0]), k))
    ends.sort()
    places = [end[0] for end in ends]
    for above, below in pairwise(range(len(places))):
        places[below] = max(places[below], places[above] + _ROW)
    over = max(0.0, places[-1] - (_HEIGHT - _BOTTOM)) if places else 0.0
    return [
        _name(labels[k], k if lines[k].color is None else lines[k].color or 0, k, (at, end), place - over, x.end)
        for place, (end, at, k) in zip(places, ends, strict=True)
    ]


def _name(label: str, paint: int, number: int, end: tuple[float, float], place: float, edge: float) -> Markup:
    return Markup("").join((
        element("line", x1=end[0], y1=end[1], x2=edge + 10, y2=place, class_="leader"),
        element("line", x1=edge + 10, y1=place, x2=edge + 32, y2=place, class_="line", stroke=color(paint),
                stroke_dasharray=_DASHES[number % len(_DASHES)]),
        element("text", label, x=edge + 37, y=place + 4, class_="name"),
    ))  # fmt: skip
