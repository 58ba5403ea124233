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

    def known(self, low: float = -torch.inf, high: float = torch.inf) -> Interval:
        """Return the box with `low` and `high`, which always hold, where an end is infinite or not a number.

        In a deep network boxes outgrow their type; infinity less infinity is then not a number, here: no bound.
        """
        return Interval(
            self.lower.nan_to_num(low, posinf=high, neginf=low), self.upper.nan_to_num(high, posinf=high, neginf=low)
        )


def around(centre: Tensor, radius: Tensor) -> Interval:
    """Return the box of a centre and a radius."""
    return Interval(centre - radius, centre + radius)


def intersect(first: Interval, second: Interval) -> Interval:
    """Return what lies in both boxes, which are known to meet; an end that is not a number bounds nothing.

    Where rounding has pushed them past each other, both ends are what the tighter bounds say, in order.
    """
    first, second = first.known(), second.known()
    lower, upper = torch.maximum(first.lower, second.lower), torch.minimum(first.upper, second.upper)
    return Interval(torch.minimum(lower, upper), torch.maximum(lower, upper))


def at_least(lower: Tensor) -> Tensor:
    """Return lower bounds with minus infinity where they are not a number."""
    return lower.nan_to_num(-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def two_sided(lower: Tensor) -> Interval:
    """Return the box from lower bounds `[B, 2 S]` of S quantities and of their negatives."""
    half = lower.shape[1] // 2
    return Interval(lower[:, :half], -lower[:, half:])
