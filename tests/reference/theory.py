"""The patch simulation with loops: samples with their signal along `v`, two logits, filters held orthogonal to `v`.

The first axis is `u`, the last is `v`. Weights are lists over classes (one class in the theory's regime) of filters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def logit(filters: Tensor, x: Tensor, *, odd: bool) -> Tensor:
    """Sum the cubes of all filters `[m, d]` over all patches `[P, d]`."""
    total = torch.zeros((), dtype=x.dtype)
    for w in filters:
        for patch in x:
            z = sum((w[k] * patch[k] for k in range(len(patch))), torch.zeros((), dtype=x.dtype))
            total = total + (z**3 if odd or z > 0 else 0 * z)
    return total


def loss(weights: list[Tensor], x: Tensor, target: float) -> Tensor:
    """Cross-entropy to the probability `target` of label 1: softmax of two logits, or a sigmoid of one margin."""
    odd = len(weights) == 1
    logits = [logit(filters, x, odd=odd) for filters in weights]
    f = logits[0] if odd else logits[0] - logits[1]
    return target * torch.log(1 + torch.exp(-f)) + (1 - target) * torch.log(1 + torch.exp(f))


def shifted(x: Tensor, y: float, eps: float, patches: list[int]) -> Tensor:
    """The training attack: `-y eps` along `u` on the given patches."""
    attacked = x.clone()
    for j in patches:
        attacked[j, 0] -= y * eps
    return attacked


def step(weights: list[Tensor], batch: list[tuple[Tensor, float]], lr: float) -> list[Tensor]:
    """One step of gradient descent on the mean loss of `(x, target)`; the gradient along `v` is dropped."""
    fresh = [w.clone().requires_grad_() for w in weights]
    total = sum((loss(fresh, x, target) for x, target in batch), torch.zeros((), dtype=weights[0].dtype)) / len(batch)
    total.backward()
    moved = []
    for w in fresh:
        assert w.grad is not None
        gradient = w.grad.clone()
        gradient[:, -1] = 0
        moved.append((w - lr * gradient).detach())
    return moved


def stands(weights: list[Tensor], x: Tensor, y: float, start: Tensor, eps: float, steps: int) -> bool:
    """Whether a sample is right at `x`, `x + start` and after each sign step of `2.5 eps / steps`, cut to the ball."""
    target = (1 + y) / 2
    right = bool(loss(weights, x, target) < math.log(2))
    adv = x + start
    for k in range(steps + 1):
        adv = adv.detach().requires_grad_()
        value = loss(weights, adv, target)
        right = right and bool(value < math.log(2))
        if k < steps:
            (gradient,) = torch.autograd.grad(value, adv)
            moved = adv.detach() + 2.5 * eps / steps * gradient.sign()
            adv = torch.minimum(torch.maximum(moved, x - eps), x + eps)
    return right
