"""The objective that everything in robustill is about: a function `x' -> [B]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robustill.errors import InputError, ModelError

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
        ModelError: There is no way for a gradient from `total` to `x`, or this is inference mode.
    """
    grad = torch.autograd.grad(total, x, allow_unused=True)[0] if total.requires_grad else None
    if grad is None and torch.is_inference_mode_enabled():
        raise ModelError(
            "an attack needs gradients, and torch.inference_mode() takes none",
            "attack outside of it; torch.no_grad() around an attack does no harm",
        )
    if grad is None:
        raise ModelError(
            "the model cannot be differentiated with respect to its input",
            "attack a differentiable form of it, or use an attack without gradients: square",
        )
    # An overflowing objective must not throw the point out of the ball; the loss at the point will tell.
    return torch.nan_to_num(grad, nan=0.0)


def checked(objective: Objective) -> Objective:
    """Return `objective`, but with an error where it does not give one value per example.

    A sum over the batch would do for the gradient, but then no example has a best restart of its own.

    >>> checked(lambda x: x.mean())(torch.zeros(2, 3))
    Traceback (most recent call last):
    robustill.errors.InputError: the objective gives a single number for 2 images, not one value for each
      hint: keep the batch: robustill.losses.cross_entropy(model(x_adv), y), or reduction="none" in PyTorch's losses
    """

    def value(x_adv: Tensor) -> Tensor:
        found = objective(x_adv)
        _check_values(found, len(x_adv))
        return found

    return value


def _check_values(found: object, count: int) -> None:
    shape = list(found.shape) if isinstance(found, Tensor) else None
    if shape == [count] or (shape == [] and count == 1):
        return
    images = f"{count} image{'s' * (count != 1)}"
    if shape is None:
        raise InputError(f"the objective gives a {type(found).__name__}, not a tensor of one value per image")
    if not shape:
        raise InputError(
            f"the objective gives a single number for {images}, not one value for each",
            'keep the batch: robustill.losses.cross_entropy(model(x_adv), y), or reduction="none" in PyTorch\'s losses',
        )
    raise InputError(
        f"the objective gives {shape} for {images}, not one value for each",
        "make one of a network's logits: lambda x_adv: robustill.losses.cross_entropy(model(x_adv), y)",
    )


def refuse_labels(attack: object, labels: Sequence[object]) -> None:
    """Check that an attack on an objective was not called as those on a network and labels are.

    Raises:
        InputError: It was.
    """
    if labels:
        name = type(attack).__name__
        raise InputError(
            f"{name} takes an objective and images, not a network, images and labels",
            f"robustill.attacks.adversarial_points(model, x, y, {name}(...)), which maximises the cross-entropy",
        )
