"""What is asked for: radii, norm, kind of bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robustill.attacks.threat import unit_hint
from robustill.certification.smoothing_noise import Noise
from robustill.errors import InputError, nearest

BOUNDS = ("crown", "crown-ibp", "ibp", "none")
POINTS = ("teacher", "student", "both")


def check_radii(eps: float | Sequence[float], norm: str, pixels: int) -> tuple[float, ...]:
    """Return the radii in ascending order, each once.

    Args:
        eps: One or several, in units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        pixels: Numbers per image; no L2 distance exceeds their root.

    Raises:
        InputError: A radius that is none, an unknown norm, or no radius at all.

    >>> check_radii([0.1, 8 / 255, 0.1], "Linf", 784)
    (0.03137254901960784, 0.1)
    """
    if norm not in ("Linf", "L2"):
        raise InputError(f"unknown norm {norm!r}", "choose Linf or L2")
    given = [eps] if isinstance(eps, int | float) else list(eps)
    if not given:
        raise InputError("there is no radius", "give one or several, such as 0.01,0.03,2/255")
    largest = 1.0 if norm == "Linf" else math.sqrt(pixels)
    for each in given:
        if isinstance(each, bool) or not isinstance(each, int | float) or not math.isfinite(each):
            raise InputError(f"eps is {each!r}, which is no radius", "write 0.03 or 8/255")
        if not 0 <= each <= largest:
            raise InputError(f"eps {each:g} is not in [0, {largest:.4g}]", unit_hint(each) if each > 0 else None)
    return tuple(sorted({float(each) for each in given}))


def check_choice(name: str, value: str, options: Sequence[str]) -> None:
    """Raise `InputError` unless `value` is one of `options`."""
    if value not in options:
        raise InputError(f"unknown {name} {value!r}", nearest(str(value), options))


def check_counts(**counts: int) -> None:
    """Raise `InputError` unless every number is an integer of 1 or more."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is {value!r}; it must be an integer of 1 or more")


def check_temperature(temperature: float) -> None:
    """Raise `InputError` unless it is a finite number above 0."""
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature is {temperature!r}; it must be above 0")


def check_smoothing(sigma: float, samples: int, alpha: float, norm: str) -> None:
    """Raise `InputError` unless a pair or a network can be smoothed so, at once and not after an hour of attacks."""
    if norm != "L2":
        raise InputError("smoothing certifies L2 radii", "add --norm L2, or leave --sigma out")
    Noise(sigma=sigma, selection=1, samples=samples, alpha=alpha, batch_size=1, seed=0)
