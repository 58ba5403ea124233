"""The objective that everything in robustill is about: a function `x' -> [B]`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustill.errors import ModelError

Objective = Callable[[Tensor], Tensor]
"""Maps perturbed inputs `[B, ...]` to one value per example `[B]`; an adversary maximises it."""


def gradient(objective: Objective, x: Tensor) -> Tensor:
    """Return the gradient of each example's objective with respect to its input, `[B, ...] -> [B, ...]`.

    Uses `torch.autograd.grad` on the input alone, so no weight gradient is computed and no `.grad` is touched.

    Raises:
        ModelError: The objective does not depend on the input in a way that can be differentiated.

    >>> import torch
    >>> gradient(lambda x: (x**2).sum(1), torch.tensor([[1.0, 2.0]]))
    tensor([[2., 4.]])
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return input_gradient(objective(x).sum(), x)


def input_gradient(total: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of the scalar `total` with respect to `x`; what is not a number becomes 0.

    Raises:
        ModelError: There is no way for a gradient from `total` to `x`.
    """
    grad = torch.autograd.grad(total, x, allow_unused=True)[0] if total.requires_grad else None
    if grad is None:
        raise ModelError(
            "the model cannot be differentiated with respect to its input",
            "attack a differentiable form of it, or use an attack without gradients: square",
        )
    # An overflowing objective must not throw the point out of the ball; the loss at the point will tell.
    return torch.nan_to_num(grad, nan=0.0)
