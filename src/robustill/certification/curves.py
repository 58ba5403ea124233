"""A difference of two softmax values over linear forms of the input.

Below p^S lies the reciprocal of one form and above p^T the sigmoid of another. A tangent of the reciprocal and a line
above the sigmoid make the difference linear in the input. Its least value is concave in the two slopes, and every pair
of slopes gives a valid bound, so a few are tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustill.certification.forms import Forms
from robustill.certification.interval import Interval
from robustill.certification.region import Region
from robustill.certification.softmax import Above, Below, sigmoid_shift

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_MIDDLE = 2
_ROUNDS = 1


@dataclass(frozen=True)
class Reciprocal:
    """`p >= exp(-scale) / q(x')` with `q = -(a . x' + b)`; a `[1 or B, T, ...]`, the rest `[B, T]`."""

    a: Tensor
    b: Tensor
    scale: Tensor
    box: Interval

    @classmethod
    def of(cls, below: Below, a: Tensor, b: Tensor, region: Region) -> Reciprocal:
        """Make it from linear forms `a . x' + b` below `-rows . d`."""
        b = b - below.shift
        return cls(a, b, below.scale, _range(region, a, b, -1.0))


@dataclass(frozen=True)
class Logistic:
    """`p <= sigmoid(o(x'))` with `o = -(a . x' + b)`."""

    a: Tensor
    b: Tensor
    box: Interval

    @classmethod
    def of(cls, above: Above, a: Tensor, b: Tensor, region: Region) -> Logistic:
        """Make it from linear forms `a . x' + b` below `rows . d`."""
        b = b + above.shift
        return cls(a, b, _range(region, a, b, -1.0))


def _range(region: Region, a: Tensor, b: Tensor, sign: float) -> Interval:
    """Return the box of `sign * (a . x' + b)` for a negative sign."""
    return Interval(region.lower(Forms(-a)) - b, -region.lower(Forms(a)) - b)


def least_gap(below: Reciprocal, above: Logistic, region: Region) -> Tensor:
    """Return a lower bound of `p^S - p^T` over the region from a curve below p^S and one above p^T, `[B, T]`."""
    points, slopes = _points(below), _slopes(above)
    with torch.no_grad():
        chosen = [torch.full_like(below.b, _MIDDLE, dtype=torch.int64).expand_as(points[0]) for _ in range(2)]
        best = _value(below, above, region, points[_MIDDLE], slopes[_MIDDLE])
        for moved in (1, 0) * _ROUNDS:
            for option in range(len((points, slopes)[moved])):
                tried = list(chosen)
                tried[moved] = torch.full_like(chosen[moved], option)
                value = _value(below, above, region, _take(points, tried[0]), _take(slopes, tried[1]))
                chosen[moved] = torch.where(value > best, option, chosen[moved])
                best = torch.maximum(value, best)
    if not torch.is_grad_enabled():
        return best
    return _value(below, above, region, _take(points, chosen[0]), _take(slopes, chosen[1]))


def _take(options: Tensor, chosen: Tensor) -> Tensor:
    return options.gather(0, chosen.unsqueeze(0)).squeeze(0)


def _value(below: Reciprocal, above: Logistic, region: Region, point: Tensor, slope: Tensor) -> Tensor:
    """Return the least value with the tangent of 1/q at q = `point` and a line of `slope` above the sigmoid."""
    # 1/q >= 2/t - q/t^2 for every t > 0, as (q - t)^2 >= 0 says.
    height = (-below.scale).exp() / point
    weight = height / point
    shape = (*weight.shape, *(1,) * (below.a.dim() - 2))
    a = weight.reshape(shape) * below.a + slope.reshape(shape) * above.a
    constant = 2 * height + weight * below.b + slope * above.b - sigmoid_shift(slope, above.box)
    return region.lower(Forms(a)) + constant


def _points(below: Reciprocal) -> Tensor:
    """Return where to touch 1/q, `[5, B, T]`: between the least and the greatest q, which is at least exp(-scale)."""
    tiny = torch.finfo(below.b.dtype).tiny ** 0.25
    low = torch.maximum(below.box.lower, (-below.scale).exp()).clamp(min=tiny)
    high = torch.maximum(below.box.upper, low)
    return torch.stack([low + share * (high - low) for share in _SHARES])


def _slopes(above: Logistic) -> Tensor:
    """Return slopes of lines above the sigmoid, `[7, B, T]`: its own between the ends of the box, its chord, zero."""
    low, high = above.box
    span = high - low
    narrow = span < 1e-4
    own = [torch.sigmoid(o) * torch.sigmoid(-o) for o in (low + share * span for share in _SHARES)]
    chord = torch.where(narrow, own[2], (high.sigmoid() - low.sigmoid()) / torch.where(narrow, 1, span))
    return torch.stack([*own, chord.clamp(0, 0.25), torch.zeros_like(chord)])
