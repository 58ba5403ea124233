"""Values over a plane as shaded cells, a panel each with the same levels, and a legend that says what a shade means."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from robustill.drawing.svg import Scale, axes, drawing, element, spanning, ticks

_LETTER, _LEFT, _GAP, _TOP, _BOTTOM, _LEGEND, _ACROSS = 7.7, 58.0, 20.0, 72.0, 52.0, 200.0, 3
SHADES = 7
"""Number of shades, named `--h0` for the lowest to `--h6`; they grow steadily darker, or brighter on a dark page."""


class Panel(NamedTuple):
    """A plane.

    Attributes:
        name: Above it.
        about: Below the name.
        rows: Values, `rows[k]` at the k-th position of the vertical axis.
    """

    name: str
    about: str
    rows: Sequence[Sequence[float]]


def plane_chart(
    id_: str,
    title: str,
    about: str,
    panels: Sequence[Panel],
    *,
    sides: Sequence[float],
    levels: Sequence[float],
    labels: tuple[str, str, str],
) -> Markup:
    """Return panels as SVG, three in a row at most.

    Args:
        id_: Of the figure, on no other one of the page.
        title: For a screen reader.
        about: What the figure shows, for a screen reader.
        panels: What is drawn.
        sides: Evenly spaced positions on both axes, two at least.
        levels: Lower ends of the shades in rising order, `SHADES` at most; the last is open above.
        labels: Names of the horizontal axis, of the vertical one, and of the values.

    Raises:
        ValueError: A value is not finite, or a panel has another size.
    """
    across = min(len(panels), _ACROSS)
    size = {1: 300.0, 2: 240.0}.get(across, 200.0)
    wide, high = _LEFT + size + _GAP, _TOP + size + _BOTTOM
    parts = []
    for k, panel in enumerate(panels):
        left, top = _LEFT + (k % across) * wide, _TOP + (k // across) * high
        parts.append(_panel(panel, left, top, size, sides, levels, labels))
    parts.append(_legend(_LEFT + across * wide - _GAP, _TOP, levels, labels[2]))
    rows = -(-len(panels) // across)
    height = max(rows * high, _TOP + 22 * len(levels) + 10)
    return drawing(id_, title, about, across * wide + _LEGEND, height, *parts)


def _panel(
    panel: Panel,
    left: float,
    top: float,
    size: float,
    sides: Sequence[float],
    levels: Sequence[float],
    labels: tuple[str, str, str],
) -> Markup:
    half = (sides[1] - sides[0]) / 2
    x = spanning(sides[0] - half, sides[-1] + half, left, left + size)
    y = spanning(sides[0] - half, sides[-1] + half, top + size, top)
    if [len(row) for row in panel.rows] != [len(sides)] * len(sides):
        raise ValueError("a plane is not as large as its sides")
    shades = [[_shade(value, levels) for value in row] for row in panel.rows]
    longest = int(size / _LETTER)
    name = panel.name if len(panel.name) <= longest else panel.name[: longest - 1] + "…"
    return Markup("").join((
        axes(x, y, labels[0], labels[1], ticks(sides[0], sides[-1], 5)),
        *_cells(shades, x, y, sides, half),
        element("path", d=_borders(shades, x, y, sides, half), class_="border"),
        element("path", d=f"M{x(0) - 5:.1f} {y(0):.1f}h10m-5 -5v10", class_="middle"),
        element("text", name, x=left, y=top - 48, class_="name"),
        element("text", panel.about, x=left, y=top - 33, class_="tick"),
    ))  # fmt: skip


def _shade(value: float, levels: Sequence[float]) -> int:
    if value - value != 0:
        raise ValueError(f"{value} cannot be drawn")
    return max(0, bisect_right(levels, value) - 1)


def _cells(shades: list[list[int]], x: Scale, y: Scale, sides: Sequence[float], half: float) -> list[Markup]:
    """Return rectangles, one for neighbours of a row that have the same shade."""
    found = []
    for b, row in zip(sides, shades, strict=True):
        start = 0
        for k in range(1, len(row) + 1):
            if k == len(row) or row[k] != row[start]:
                left, right, top = x(sides[start] - half), x(sides[k - 1] + half), y(b + half)
                fill = f"var(--h{row[start]})"
                size = {"width": right - left, "height": y(b - half) - top}
                found.append(element("rect", x=left, y=top, **size, fill=fill, class_="shade"))
                start = k
    return found


def _borders(shades: list[list[int]], x: Scale, y: Scale, sides: Sequence[float], half: float) -> str:
    """Return the lines between cells of different shades, for those who cannot tell the shades apart."""
    parts = []
    for j, b in enumerate(sides):
        for k, a in enumerate(sides):
            if k and shades[j][k] != shades[j][k - 1]:
                parts.append(f"M{x(a - half):.1f} {y(b - half):.1f}V{y(b + half):.1f}")
            if j and shades[j][k] != shades[j - 1][k]:
                parts.append(f"M{x(a - half):.1f} {y(b - half):.1f}H{x(a + half):.1f}")
    return "".join(parts)


def _legend(left: float, top: float, levels: Sequence[float], label: str) -> Markup:
    """Return the shades from the highest down, each with its range."""
    ends = [
        *(f"{low:.3g} to {high:.3g}" for low, high in pairwise(levels)),
        f"{levels[-1]:.3g} up",
    ]
    parts = [element("text", label, x=left + 14, y=top - 8, class_="axis")]
    for place, shade in enumerate(reversed(range(len(levels)))):
        at = top + 22 * place
        parts.append(
            element("rect", x=left + 14, y=at, width=20.0, height=22.0, fill=f"var(--h{shade})", class_="cell")
        )
        parts.append(element("text", ends[shade], x=left + 41, y=at + 15, class_="tick"))
    return Markup("").join(parts)
