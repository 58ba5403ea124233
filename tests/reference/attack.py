"""Projected gradient ascent on lists of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Pixels = list[float]
Gradient = Callable[[list[Pixels]], list[Pixels]]
"""Maps a batch of images, each a list of pixels, to the gradient of each image's objective."""


def pgd(
    gradient: Gradient,
    x: Sequence[Sequence[float]],
    start: Sequence[Sequence[float]],
    *,
    eps: float,
    step_size: float,
    steps: int,
    norm: str,
) -> list[list[Pixels]]:
    """Return the iterates, the start first: `steps + 1` batches of images."""
    move = {"Linf": _move_linf, "L2": _move_l2}[norm]
    points = [list(image) for image in start]
    iterates = [points]
    for _ in range(steps):
        slopes = gradient(points)
        points = [move(p, g, list(c), eps, step_size) for p, g, c in zip(points, slopes, x, strict=True)]
        iterates.append(points)
    return iterates


def _move_linf(point: Pixels, slope: Pixels, centre: Pixels, eps: float, step_size: float) -> Pixels:
    moved = []
    for p, g, c in zip(point, slope, centre, strict=True):
        value = p + step_size * (math.copysign(1.0, g) if g != 0 else 0.0)
        value = min(max(value, c - eps), c + eps)
        moved.append(min(max(value, 0.0), 1.0))
    return moved


def _move_l2(point: Pixels, slope: Pixels, centre: Pixels, eps: float, step_size: float) -> Pixels:
    length = math.sqrt(sum(g * g for g in slope))
    moved = [p + step_size * g / length for p, g in zip(point, slope, strict=True)]
    delta = [m - c for m, c in zip(moved, centre, strict=True)]
    reach = math.sqrt(sum(d * d for d in delta))
    shrink = min(1.0, eps / reach)
    return [min(max(c + shrink * d, 0.0), 1.0) for c, d in zip(centre, delta, strict=True)]
