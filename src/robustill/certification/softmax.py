"""Bounds of a softmax: of its values from boxes, and by curves over linear forms of the input.

With d_j = (z_j - z_c) / temperature, p_c = 1 / sum_j exp d_j = sigmoid(-log sum_{j != c} exp d_j).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from robustill.certification.interval import Interval


def confidence_box(d: Interval) -> Interval:
    """Return bounds of p_c from those of `d` `[B, T, C]` (zero at c); no box of d gives tighter ones."""
    return Interval((-d.upper.logsumexp(2)).exp(), (-d.lower.logsumexp(2)).exp())


def log_odds(d: Interval, target: Tensor) -> Interval:
    """Return bounds `[B, T]` of `log(p_c / (1 - p_c))`."""
    others = [end.masked_fill(target > 0, -torch.inf) for end in d]
    return Interval(-others[1].logsumexp(2), -others[0].logsumexp(2))


class Below(NamedTuple):
    """`p_c >= exp(-scale) / (rows . d + shift)`: the exponentials under their chords."""

    rows: Tensor
    shift: Tensor
    scale: Tensor


def chords(d: Interval, target: Tensor) -> Below:
    """Return a linear function above `sum_j exp(d_j - scale)` on a box, scale being its largest d_j."""
    scale = d.upper.amax(2, keepdim=True).detach()
    low, high = (d.lower - scale).exp(), (d.upper - scale).exp()
    narrow = d.width < 1e-4
    # On a narrow interval any slope will do if the line starts above both ends.
    slope = torch.where(narrow, high, (high - low) / torch.where(narrow, 1, d.width))
    shift = torch.maximum(low - slope * d.lower, high - slope * d.upper)
    free = target > 0
    slope = slope.masked_fill(free, 0)
    shift = torch.where(free, (-scale).exp(), shift)
    return Below(slope, shift.sum(2), scale.squeeze(2))


class Above(NamedTuple):
    """`p_c <= sigmoid(-(rows . d + shift))`: the tangent plane of a convex function."""

    rows: Tensor
    shift: Tensor


def tangent(d: Interval, target: Tensor) -> Above:
    """Return the plane that touches `log sum_{j != c} exp d_j` in the middle of a box from below."""
    middle = (d.lower + d.upper) / 2
    others = middle.masked_fill(target > 0, -torch.inf)
    rows = others.softmax(2)
    return Above(rows, others.logsumexp(2) - (rows * middle).sum(2))


def on_logits(rows: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return rows over the logits from rows over d, `[B, T, C]`."""
    return (rows - rows.sum(2, keepdim=True) * target) / temperature


def sigmoid_shift(slope: Tensor, box: Interval) -> Tensor:
    """Return the least b with `sigmoid(o) <= slope * o + b` on a box, for a slope in [0, 1/4]."""
    # The derivative falls through the slope at one point above 0; a maximum is there or at an end.
    root = (1 - 4 * slope).clamp(min=0).sqrt()
    # Its sigmoid is (1 + root) / 2, which rounds to 1 for the flattest slopes; its log-odds do not.
    turn = (2 * (1 + root).log() - (4 * slope).clamp(min=torch.finfo(slope.dtype).tiny).log()).detach()
    turn = torch.minimum(torch.maximum(turn, box.lower), box.upper)
    points = (box.lower, box.upper, turn)
    return torch.stack([point.sigmoid() - slope * point for point in points]).amax(0)


def joint_gap(odds: Interval, shift: Interval) -> Interval:
    """Return bounds of `sigmoid(o + s) - sigmoid(o)` for o in the box `odds` and s in the box `shift`."""
    opposite = Interval(-odds.upper, -odds.lower)
    return Interval(-_largest_gain(-shift.lower, opposite), _largest_gain(shift.upper, odds))


def _largest_gain(shift: Tensor, odds: Interval) -> Tensor:
    at = torch.minimum(torch.maximum(-shift / 2, odds.lower), odds.upper)
    inner = _gain(at, shift)
    ends = torch.maximum(_gain(odds.lower, shift), _gain(odds.upper, shift))
    return torch.where(shift > 0, inner, ends)


def _gain(o: Tensor, shift: Tensor) -> Tensor:
    return F.sigmoid(o + shift) - F.sigmoid(o)
