"""SVG elements as escaped text, with scales and axes; colours are CSS variables, so that they follow the page's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

COLORS = 7
"""Number of line colours; after Okabe and Ito, told apart with any colour vision, named `--c0` and so on."""


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element; text in it is escaped. A trailing or inner `_` in a name stands for `-`.

    >>> element("text", "a < b", class_="label", x=1.0)
    Markup('<text class="label" x="1">a &lt; b</text>')
    """
    parts = []
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    name = name.rstrip("_")
    inside = Markup("").join(escape(child) for child in children)
    return Markup(f"<{name}{''.join(parts)}>{inside}</{name}>")


def color(number: int) -> str:
    """Return the CSS colour of line `number`."""
    return f"var(--c{number % COLORS})"


def drawing(id_: str, title: str, about: str, width: float, height: float, *children: object) -> Markup:
    """Return a whole figure that names and describes itself to a screen reader."""
    return element(
        "svg",
        element("title", title, id=f"{id_}-title"),
        element("desc", about, id=f"{id_}-desc"),
        *children,
        class_="chart", role="img", aria_labelledby=f"{id_}-title {id_}-desc", viewBox=f"0 0 {width:g} {height:g}",
        width=width, height=height,
    )  # fmt: skip


class Scale(NamedTuple):
    """Maps values from `low` to `high` onto positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of a value; what lies outside is moved to the edge.

        Raises:
            ValueError: It is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be drawn")
        inside = min(max(value, self.low), self.high)
        return self.start + (self.end - self.start) * (inside - self.low) / (self.high - self.low)


def spanning(low: float, high: float, start: float, end: float) -> Scale:
    """Return a scale over a range that may be a point."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("a value to draw is not a number")
    wider = 0.0 if high > low else max(abs(high), 1.0) / 2
    return Scale(low - wider, high + wider, start, end)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values between two others, `most` at most.

    >>> ticks(0, 1, 5), ticks(0, 0.13)
    ([0.0, 0.5, 1.0], [0.0, 0.05, 0.1])
    """
    size = 10.0 ** math.floor(math.log10(high - low)) / 10
    while True:
        for digit in (1, 2, 5):
            step = digit * size
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first < most:
                return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]
        size *= 10


def axes(
    x: Scale, y: Scale, x_label: str, y_label: str, x_ticks: Sequence[float] | None = None, *, y_ticks: bool = True
) -> Markup:
    """Return grid lines, numbers and names of the axes."""
    top, bottom, parts = y.end, y.start, []
    for value in ticks(x.low, x.high) if x_ticks is None else x_ticks:
        parts.append(element("line", x1=x(value), x2=x(value), y1=top, y2=bottom, class_="grid"))
        parts.append(element("text", f"{value:g}", x=x(value), y=bottom + 18, class_="tick", text_anchor="middle"))
    for value in ticks(y.low, y.high) if y_ticks else ():
        parts.append(element("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        parts.append(element("text", f"{value:g}", x=x.start - 8, y=y(value) + 4, class_="tick", text_anchor="end"))
    middle = (x.start + x.end) / 2
    parts.append(element("text", x_label, x=middle, y=bottom + 38, class_="axis", text_anchor="middle"))
    parts.append(element("text", y_label, x=max(4.0, x.start - 44), y=top - 16, class_="axis"))
    return Markup("").join(parts)
