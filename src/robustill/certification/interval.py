"""A box: a lower and an upper bound for each number."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """What a quantity lies between; both tensors have its shape, such as `[B, C]`.

    >>> import torch
    >>> found = Interval(torch.tensor([0.0]), torch.tensor([2.0]))
    >>> found.upper - found.lower
    tensor([2.])
    """

    lower: Tensor
    upper: Tensor

    @property
    def width(self) -> Tensor:
        """`upper - lower`."""
        return self.upper - self.lower

    def centred(self) -> tuple[Tensor, Tensor]:
        """Return the centre and the radius."""
        return (self.upper + self.lower) / 2, (self.upper - self.lower) / 2


def around(centre: Tensor, radius: Tensor) -> Interval:
    """Return the box of a centre and a radius."""
    return Interval(centre - radius, centre + radius)


def intersect(first: Interval, second: Interval) -> Interval:
    """Return what lies in both boxes, which are known to meet.

    Where rounding has pushed them past each other, both ends are what the tighter bounds say, in order.
    """
    lower, upper = torch.maximum(first.lower, second.lower), torch.minimum(first.upper, second.upper)
    return Interval(torch.minimum(lower, upper), torch.maximum(lower, upper))


def two_sided(lower: Tensor) -> Interval:
    """Return the box from lower bounds `[B, 2 S]` of S quantities and of their negatives."""
    half = lower.shape[1] // 2
    return Interval(lower[:, :half], -lower[:, half:])
