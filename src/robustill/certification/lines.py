"""Straight lines below and above an activation function on an interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from robustill.certification.interval import Interval

_HALVINGS = 40


class Lines(NamedTuple):
    """`lower_slope * z + lower_shift <= f(z) <= upper_slope * z + upper_shift` on an interval."""

    lower_slope: Tensor
    lower_shift: Tensor
    upper_slope: Tensor
    upper_shift: Tensor


def relu_lines(box: Interval, negative: float = 0.0) -> Lines:
    """Return lines around a (leaky) ReLU with slope `negative` below zero, `0 <= negative <= 1`.

    The chord above; below, the branch that leaves the smaller area.
    """
    lower, upper = box
    active, unstable = lower >= 0, (lower < 0) & (upper > 0)
    span = torch.where(unstable, upper - lower, 1)
    chord = (upper - negative * lower) / span
    stable = torch.full_like(lower, negative).masked_fill(active, 1.0)
    shift = torch.where(unstable, (chord - negative) * -lower, 0)
    below = stable.masked_fill(unstable & (upper > -lower), 1.0)
    return Lines(below, torch.zeros_like(lower), torch.where(unstable, chord, stable), shift)


@dataclass(frozen=True)
class Curve:
    """An activation function that is differentiable but at a few kinks.

    Attributes:
        value: The function.
        slope: Its derivative.
        bends: Where the derivative turns from rising to falling or back; between them it is monotone.
        kinks: Where the derivative jumps; the function is linear between kinks, if there are any.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    bends: tuple[float, ...] = ()
    kinks: tuple[float, ...] = ()

    def interval(self, box: Interval) -> Interval:
        """Return the range of the function on a box."""
        return Interval(*self._shifts(box, torch.zeros_like(box.lower)))

    def lines(self, box: Interval) -> Lines:
        """Return lines that touch the function; of a few slopes, those nearest to it in the middle of the interval."""
        lower, upper = box
        middle, span = (lower + upper) / 2, upper - lower
        narrow = span <= 1e-4 * (1 + middle.abs())
        chord = (self.value(upper) - self.value(lower)) / torch.where(narrow, 1, span)
        inner = self.slope(middle)
        slopes = [torch.where(narrow, inner, chord), inner, self.slope(lower), self.slope(upper)]
        found = [(slope, *self._shifts(box, slope)) for slope in slopes]
        below = _best([(slope, low, slope * middle + low) for slope, low, _ in found])
        above = _best([(slope, high, -slope * middle - high) for slope, _, high in found])
        return Lines(*below, *above)

    def _shifts(self, box: Interval, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the greatest of `f(z) - slope * z` on the box, where it ends or its derivative is 0."""
        first, *others = (self.value(point) - slope * point for point in self._turns(box, slope))
        least = greatest = first
        for gap in others:
            # A turn at an end of the box must not take part of the gradient of that end.
            least, greatest = torch.where(gap < least, gap, least), torch.where(gap > greatest, gap, greatest)
        return least, greatest

    def _turns(self, box: Interval, slope: Tensor) -> list[Tensor]:
        """Return every point where `f(z) - slope * z` may be least or greatest: there are no others in the box."""
        lower, upper = box
        points = [lower, upper]
        for kink in self.kinks:
            points.append(torch.minimum(upper, torch.maximum(lower, torch.full_like(lower, kink))))
        if not self.kinks:
            edges = [-math.inf, *self.bends, math.inf]
            for start, end in itertools.pairwise(edges):
                # At a turn its own movement changes nothing: the value there is a constant of it.
                points.append(self._turn(lower.detach(), upper.detach(), start, end, slope.detach()))
        return points

    @torch.no_grad()
    def _turn(self, lower: Tensor, upper: Tensor, start: float, end: float, slope: Tensor) -> Tensor:
        """Halve the part of the box between two bends, where the derivative is monotone, towards `f'(z) = slope`."""
        low = torch.minimum(upper, lower.clamp(min=start))
        high = torch.maximum(lower, upper.clamp(max=end))
        low, high = torch.minimum(low, high), torch.maximum(low, high)
        rising = self.slope(high) >= self.slope(low)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            before = (self.slope(middle) < slope) == rising
            low, high = torch.where(before, middle, low), torch.where(before, high, middle)
        return (low + high) / 2


def _best(options: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the slope and shift whose score is highest, number by number."""
    slope, shift, score = options[0]
    for other_slope, other_shift, other in options[1:]:
        better = other > score
        slope, shift = torch.where(better, other_slope, slope), torch.where(better, other_shift, shift)
        score = torch.where(better, other, score)
    return slope, shift


def _sigmoid_slope(z: Tensor) -> Tensor:
    return torch.sigmoid(z) * torch.sigmoid(-z)


def _silu_slope(z: Tensor) -> Tensor:
    return torch.sigmoid(z) * (1 + z * torch.sigmoid(-z))


def _tanh_slope(z: Tensor) -> Tensor:
    return 4 * _sigmoid_slope(2 * z)


def _gelu_slope(z: Tensor) -> Tensor:
    return torch.erfc(-z / math.sqrt(2)) / 2 + z * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh(z: Tensor) -> Tensor:
    return F.gelu(z, approximate="tanh")


def _gelu_tanh_slope(z: Tensor) -> Tensor:
    inner = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)
    grown = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)
    return torch.sigmoid(2 * inner) + z * grown * _tanh_slope(inner) / 2


def clipped(low: float, high: float) -> Curve:
    """Return the identity between two ends and constant beyond them."""
    return Curve(lambda z: z.clamp(low, high), lambda z: ((z > low) & (z < high)).to(z.dtype), kinks=(low, high))


CURVES = {
    "sigmoid": Curve(torch.sigmoid, _sigmoid_slope, (0.0,)),
    "tanh": Curve(torch.tanh, _tanh_slope, (0.0,)),
    # Roots of the second derivative: of SiLU 2 = z tanh(z / 2), of GELU 2 = z^2, of its tanh form found numerically.
    "silu": Curve(F.silu, _silu_slope, (-2.399357280520547, 2.399357280520547)),
    "gelu": Curve(F.gelu, _gelu_slope, (-math.sqrt(2), math.sqrt(2))),
    "gelu-tanh": Curve(_gelu_tanh, _gelu_tanh_slope, (-1.41850400879, 1.41850400879)),
    "softplus": Curve(F.softplus, torch.sigmoid),
    "relu6": clipped(0.0, 6.0),
}
