"""Numbers as text, and as cells that sort."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from robustill.report.page.content import Number


def count(n: int) -> str:
    """Return a number of things.

    >>> count(10000)
    '10,000'
    """
    return f"{n:,}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share in percent.

    >>> percent(0.6673), percent(0.6673, 2)
    ('66.7%', '66.73%')
    """
    return f"{100 * share:.{digits}f}%"


def share_cell(share: float | None, digits: int = 2) -> Number:
    """Return a share in percent, without the sign, as a cell."""
    return _none() if share is None else Number(share, f"{100 * share:.{digits}f}")


def signed_cell(points: float) -> Number:
    """Return a difference of shares in percentage points as a cell.

    >>> signed_cell(0.0123).text
    '+1.23'
    """
    return Number(points, f"{100 * points:+.2f}")


def interval(ends: Any) -> str:
    """Return the ends of a 95% interval of a share, in percent; a dash where there is none.

    >>> interval([0.657, 0.677])
    '65.7 to 67.7'
    """
    return "-" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def plain_cell(value: float | None, form: str = ".4g") -> Number:
    """Return a number as a cell."""
    return _none() if value is None else Number(value, format(value, form))


def whole_cell(value: int | None) -> Number:
    """Return a number of things as a cell."""
    return _none() if value is None else Number(value, count(value))


def radius(eps: float) -> str:
    """Return a radius, and in steps of 8-bit images where that is a round number.

    >>> radius(8 / 255), radius(0.1)
    ('0.0314 (8/255)', '0.1')
    """
    steps = 255 * eps
    whole = math.isclose(steps, round(steps), abs_tol=1e-6) and 0 < steps < 128
    return f"{eps:.3g} ({round(steps)}/255)" if whole else f"{eps:.3g}"


def worst_case(evaluation: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many images stay right under all attacks, and how many there are."""
    images = int(evaluation["images"])
    return round(evaluation["robust"]["accuracy"] * images), images


def strongest(evaluation: Mapping[str, Any]) -> str | None:
    """Return the attack that leaves least; None: there was none."""
    attacks = evaluation["attacks"]
    return min(attacks, key=lambda name: attacks[name]["accuracy"]) if attacks else None


def _none() -> Number:
    return Number(None, "-")
