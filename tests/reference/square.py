"""One change of the Square attack on one image, pixel by pixel, as its paper's Algorithms 2 and 3 tell it."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def linf_change(x: Tensor, best: Tensor, corner: tuple[int, int], side: int, signs: list[int], eps: float) -> Tensor:
    """Every pixel of the square moves by 2 eps in the direction of its channel's sign, then back into the ball."""
    new = best.clone()
    for channel in range(x.shape[0]):
        for row in range(corner[0], corner[0] + side):
            for column in range(corner[1], corner[1] + side):
                moved = float(best[channel, row, column]) + 2 * eps * signs[channel]
                pixel = float(x[channel, row, column])
                new[channel, row, column] = min(max(moved, pixel - eps, 0.0), pixel + eps, 1.0)
    return new


def l2_change(
    x: Tensor, best: Tensor, to: tuple[int, int], source: tuple[int, int], pattern: Tensor, signs: list[int], eps: float
) -> Tensor:
    """The norm of both windows and what the ball has left goes into `to`, shaped by the pattern and what was there."""
    side, delta = len(pattern), (best - x).clone()
    left = max(eps**2 - sum(float(v) ** 2 for v in delta.flatten()), 0.0) / x.shape[0]
    result = delta.clone()
    for channel in range(x.shape[0]):
        cells = [(r, c) for r in range(side) for c in range(side)]
        both = {(to[0] + r, to[1] + c) for r, c in cells} | {(source[0] + r, source[1] + c) for r, c in cells}
        budget = math.sqrt(left + sum(float(delta[channel, r, c]) ** 2 for r, c in both))
        there = math.sqrt(sum(float(delta[channel, to[0] + r, to[1] + c]) ** 2 for r, c in cells))
        new = {
            (r, c): signs[channel] * float(pattern[r, c])
            + float(delta[channel, to[0] + r, to[1] + c]) / max(there, 1e-12)
            for r, c in cells
        }
        length = math.sqrt(sum(value**2 for value in new.values()))
        for r, c in both:
            result[channel, r, c] = 0.0
        for (r, c), value in new.items():
            result[channel, to[0] + r, to[1] + c] = value / length * budget
    whole = math.sqrt(sum(float(v) ** 2 for v in result.flatten()))
    return torch.clamp(x + eps * result / whole, 0, 1)
