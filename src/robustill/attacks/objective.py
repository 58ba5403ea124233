"""The objective that everything in robustill is about: a function `x' -> [B]`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], Tensor]
"""Maps perturbed inputs `[B, ...]` to one value per example `[B]`; an adversary maximises it."""


def gradient(objective: Objective, x: Tensor) -> Tensor:
    """Return the gradient of each example's objective with respect to its input, shaped like `x`.

    Uses `torch.autograd.grad` on the input alone, so no weight gradient is computed and no `.grad` is touched.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(objective(x).sum(), x)
    # An overflowing objective must not throw the point out of the ball; the loss at the point will tell.
    return torch.nan_to_num(grad, nan=0.0)
