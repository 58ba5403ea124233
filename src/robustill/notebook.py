"""Results as HTML for notebooks: tables and charts that follow the colours of the page they are shown on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

_STYLE = """
.robustill { --ink: currentColor; --paper: transparent; --soft: color-mix(in srgb, currentColor 65%, transparent);
  --edge: color-mix(in srgb, currentColor 22%, transparent); --c0: #2b8cca; --c1: #d55e00; --c2: #009e73;
  --c3: #cc79a7; --c4: #b07a00; --c5: #56b4e9; --c6: currentColor; overflow-x: auto; }
.robustill caption { text-align: left; padding: .3em 0; color: inherit; }
.robustill th, .robustill td { text-align: left; padding: .2em .7em; }
.robustill .chart { display: block; font: 13px system-ui, sans-serif; fill: currentColor; }
.robustill .grid, .robustill .leader { stroke: var(--edge); }
.robustill .mark { stroke: var(--soft); stroke-dasharray: 3 3; }
.robustill .line { fill: none; stroke-width: 2.4; }
.robustill .band { opacity: .22; }
.robustill .unknown { fill: var(--soft); opacity: .22; }
.robustill .tick, .robustill .axis { fill: var(--soft); font-size: 12px; }
"""


def html(*parts: str) -> str:
    """Return parts as one block with its style.

    Args:
        parts: HTML of `table`, `bars` and `lines`.
    """
    return f'<div class="robustill"><style>{_STYLE}</style>{"".join(parts)}</div>'


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """Return a table; names in it cannot become markup.

    >>> table("Classes", ["class"], [["<b>"]])
    Markup('<table><caption>Classes</caption><thead><tr><th scope="col">class</th></tr></thead><tbody><tr><th
    scope="row">&lt;b&gt;</th></tr></tbody></table>')
    """
    from robustill.drawing.svg import element
    from robustill.terminal import printable

    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = []
    for first, *rest in rows:
        cells = [element("td", printable(str(cell))) for cell in rest]
        body.append(element("tr", element("th", printable(str(first)), scope="row"), *cells))
    return element("table", element("caption", printable(caption)), element("thead", head), element("tbody", *body))


def bars(title: str, rows: Sequence[tuple[str, float, tuple[float, float] | None]], x_label: str) -> Markup:
    """Return shares as bars from 0 to 100, with their intervals.

    Args:
        title: For a screen reader.
        rows: Name, share from 0 to 1, and the ends of its interval.
        x_label: Name of the axis.
    """
    from robustill.drawing.intervals import Bar, interval_chart
    from robustill.terminal import printable

    drawn = [
        Bar(printable(name), 100 * share, None if ends is None else (100 * ends[0], 100 * ends[1]),
            f"{100 * share:.1f}", min(k, 1))
        for k, (name, share, ends) in enumerate(rows)
    ]  # fmt: skip
    about = "; ".join(f"{bar.label}: {bar.text}" for bar in drawn) + "."
    return interval_chart(_id(title, about), title, about, drawn, x_label=x_label, x_range=(0.0, 100.0))


def lines(
    title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    whole: bool = False,
) -> Markup:
    """Return lines over common positions.

    Args:
        title: For a screen reader.
        x: Positions.
        series: Values by name, as many as positions; None is a gap.
        x_label: Name of the horizontal axis.
        y_label: Name of the vertical axis.
        y_range: Its ends; those of the values when None.
        whole: Only whole numbers on the horizontal axis.
    """
    from robustill.drawing.lines import Line, line_chart

    drawn = [Line(name, x, values) for name, values in series.items()]
    ends = (f"{line.label} ends at {line.y[-1]:.4g}" for line in drawn if line.y and line.y[-1] is not None)
    about = "; ".join(ends) + "."
    return line_chart(
        _id(title, about), title, about, drawn, x_label=x_label, y_label=y_label, y_range=y_range, whole=whole
    )


def _id(*parts: str) -> str:
    """Return what names a chart in a notebook that holds many."""
    return "robustill-" + hashlib.blake2s("\0".join(parts).encode("utf-8", "replace"), digest_size=6).hexdigest()
