"""Parts of a whole as bars from end to end, one row each, named at the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from robustill.drawing.svg import Scale, axes, color, drawing, element, spanning

_LETTER, _ROW, _PLOT, _LONGEST, _TOP = 7.7, 26.0, 380.0, 40, 34.0


class Share(NamedTuple):
    """A row; what is neither first nor last lies between.

    Attributes:
        label: Its name.
        first: Share at the left, 0 to 100.
        last: Share at the right.
        text: What is written behind.
    """

    label: str
    first: float
    last: float
    text: str


def share_chart(
    id_: str, title: str, about: str, rows: Sequence[Share], *, names: tuple[str, str], colors: tuple[int, int],
    x_label: str,
) -> Markup:  # fmt: skip
    """Return a chart as SVG.

    Args:
        id_: Of the figure, on no other one of the page.
        title: For a screen reader.
        about: What the figure shows, for a screen reader.
        rows: From top to bottom.
        names: Of the shares at the left and at the right; written above their ends.
        colors: Numbers of their colours.
        x_label: Name of the axis.

    Raises:
        ValueError: A share is not finite.
    """
    labels = [row.label if len(row.label) <= _LONGEST else row.label[: _LONGEST - 1] + "…" for row in rows]
    left = 16 + _LETTER * max(map(len, labels))
    right = 20 + _LETTER * max(len(row.text) for row in rows)
    bottom = _TOP + 8 + _ROW * len(rows)
    x = spanning(0.0, 100.0, left, left + _PLOT)
    parts = [axes(x, spanning(0.0, 1.0, bottom, _TOP), x_label, "", y_ticks=False)]
    for name, paint, at, anchor in zip(names, colors, (x.start, x.end), ("start", "end"), strict=True):
        square = at if anchor == "start" else at - 12
        words = at + 18 if anchor == "start" else at - 18
        parts.append(element("rect", x=square, y=10.0, width=12.0, height=12.0, fill=color(paint), class_="cell"))
        parts.append(element("text", name, x=words, y=21.0, class_="name", text_anchor=anchor))
    for k, row in enumerate(rows):
        parts += _row(row, labels[k], _TOP + 12 + _ROW * k, x, colors)
    return drawing(id_, title, about, left + _PLOT + right, bottom + 54, *parts)


def _row(row: Share, label: str, y: float, x: Scale, colors: tuple[int, int]) -> list[Markup]:
    ends = ((x.start, x(row.first)), (x(100 - row.last), x.end))
    bars = [
        element("rect", x=low, y=y - 6, width=high - low, height=16.0, fill=color(paint), class_="part")
        for (low, high), paint in zip(ends, colors, strict=True)
    ]
    return [
        element("text", label, x=x.start - 10, y=y + 6, class_="name", text_anchor="end"),
        *bars,
        element("text", row.text, x=x.end + 12, y=y + 6, class_="value"),
    ]
