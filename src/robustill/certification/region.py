"""The inputs a bound speaks of: the ball around x, inside the image box."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.certification.forms import Forms
from robustill.certification.interval import Interval


class Region:
    """All `x'` with `||x' - x||_p <= eps`, and in [0, 1] where `clip` says so.

    Attributes:
        box: The smallest box `[B, ...]` around it.
        exact: It is that box.
    """

    def __init__(self, x: Tensor, eps: float, norm: str, clip: bool) -> None:
        lower, upper = x - eps, x + eps
        self.box = Interval(lower.clamp(0, 1), upper.clamp(0, 1)) if clip else Interval(lower, upper)
        self.exact = norm == "Linf"
        self.x, self.eps = x, eps

    def __len__(self) -> int:
        return len(self.x)

    def lower(self, forms: Forms) -> Tensor:
        """Return a lower bound of each form over the region, `[N, D]`."""
        low = box_lower(forms, self.box)
        if self.exact:
            return low
        # The minimum over box and ball together is at least that over each of them.
        forms = forms.own()
        a = forms.a.flatten(2)
        return torch.maximum(low, dot(a, forms.spread(self.x)) - self.eps * torch.linalg.vector_norm(a, dim=2))


def box_lower(forms: Forms, box: Interval) -> Tensor:
    """Return the least value of each form on a box, `[N, D]`."""
    forms = forms.own()
    centre, radius = (forms.spread(each) for each in box.centred())
    a = forms.a.flatten(2)
    return dot(a, centre) - dot(a.abs(), radius)


def dot(a: Tensor, values: Tensor) -> Tensor:
    """Return `[N, D, F]` times `[N, ...]` as `[N, D]`."""
    return torch.matmul(a, values.flatten(1).unsqueeze(2)).squeeze(2)
