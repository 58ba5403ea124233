"""APGD on one example, step by step as its paper's Algorithm 1 tells it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def windows(steps: int) -> list[int]:
    """Lengths of the windows between checks: 22 % of the steps, then 3 % shorter each, never below 6 %."""
    lengths, length = [], max(int(0.22 * steps), 1)
    while sum(lengths) < steps:
        lengths.append(length)
        length = max(length - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    return lengths


def apgd(loss: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, eps: float, steps: int) -> tuple[Tensor, float]:
    """Return the best point and its loss; `loss` maps one image to a scalar, Linf."""

    def project(point: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(point, x - eps), x + eps).clamp(0, 1)

    def ask(point: Tensor) -> tuple[float, Tensor]:
        point = point.detach().requires_grad_()
        value = loss(point)
        return value.item(), torch.autograd.grad(value, point)[0]

    size, point, old = 2 * eps, start, start
    value, grad = ask(point)
    best, best_point, best_grad = value, point, grad
    checked, halved_before, rises = best, True, 0
    ends = [sum(windows(steps)[: k + 1]) for k in range(len(windows(steps)))]
    lengths = windows(steps)
    for k in range(steps):
        ahead = project(point + size * grad.sign())
        a = 1.0 if k == 0 else 0.75
        new = project(point + a * (ahead - point) + (1 - a) * (point - old))
        old, point, before = point, new, value
        value, grad = ask(point)
        rises += value > before
        if value > best:
            best, best_point, best_grad = value, point, grad
        if k + 1 in ends:
            length = lengths[ends.index(k + 1)]
            halve = rises <= 0.75 * length or (not halved_before and checked >= best)
            if halve:
                size, point, grad = size / 2, best_point, best_grad
            checked, halved_before, rises = best, halve, 0
    return best_point, best
