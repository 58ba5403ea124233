"""Values with their intervals, one row each, named at the left and written out at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustill.drawing.svg import Scale, axes, color, drawing, element, spanning

_LETTER, _ROW, _PLOT, _RIGHT, _LONGEST = 7.7, 26.0, 380.0, 60.0, 48


class Bar(NamedTuple):
    """A value and the ends of its interval.

    Attributes:
        label: Its name.
        value: Where the dot is.
        ends: The interval; None: not known.
        text: What is written at the right.
        color: Number of the colour.
        hollow: Whether the dot is a ring.
    """

    label: str
    value: float
    ends: tuple[float, float] | None
    text: str
    color: int = 0
    hollow: bool = False


def interval_chart(
    id_: str,
    title: str,
    about: str,
    bars: Sequence[Bar],
    *,
    x_label: str,
    x_range: tuple[float, float],
    zero: bool = True,
) -> Markup:
    """Return a chart as SVG.

    Args:
        id_: Of the figure, on no other one of the page.
        title: For a screen reader.
        about: What the figure shows, for a screen reader.
        bars: Rows from top to bottom.
        x_label: Name of the axis.
        x_range: Ends of the axis.
        zero: Draw a bar from 0 to each value.

    Raises:
        ValueError: A value is not finite.
    """
    labels = [bar.label if len(bar.label) <= _LONGEST else bar.label[: _LONGEST - 1] + "…" for bar in bars]
    left = 16 + _LETTER * max(map(len, labels))
    bottom = 20 + _ROW * len(bars)
    x = spanning(*x_range, left, left + _PLOT)
    parts = [axes(x, spanning(0.0, 1.0, bottom, 12.0), x_label, "", y_ticks=False)]
    for value in (0.0,) if x.low < 0 < x.high else ():
        parts.append(element("line", x1=x(value), x2=x(value), y1=12.0, y2=bottom, class_="mark"))
    for k, bar in enumerate(bars):
        parts += _row(bar, labels[k], 24 + _ROW * k, x.start, zero, x)
    return drawing(id_, title, about, left + _PLOT + _RIGHT + 30, bottom + 54, *parts)


def _row(bar: Bar, label: str, y: float, left: float, zero: bool, x: Scale) -> list[Markup]:
    paint, at = color(bar.color), x(bar.value)
    parts = [element("text", label, x=left - 10, y=y + 4, class_="name", text_anchor="end")]
    if zero:
        start = x(0.0)
        parts.append(
            element("rect", x=min(start, at), y=y - 7, width=abs(at - start), height=14.0, fill=paint, class_="band")
        )
    if bar.ends is not None:
        low, high = x(bar.ends[0]), x(bar.ends[1])
        parts.append(element("line", x1=low, x2=high, y1=y, y2=y, stroke=paint, class_="line"))
        parts += [element("line", x1=e, x2=e, y1=y - 5, y2=y + 5, stroke=paint, class_="line") for e in (low, high)]
    fill = "var(--paper)" if bar.hollow else paint
    parts.append(element("circle", cx=at, cy=y, r=4.0, fill=fill, stroke=paint, stroke_width=2))
    parts.append(element("text", bar.text, x=x.end + 12, y=y + 4, class_="value"))
    return parts
