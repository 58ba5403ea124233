"""Targeted FAB on one image, step by step as its paper's Algorithm 1 tells it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def bisected(t: list[float], w: list[float], rise: float, norm: str) -> list[float]:
    """The shortest step to a plane: coordinates move at speed 1 (or |w|) until the box stops them; find when."""
    sign = 1.0 if rise >= 0 else -1.0

    def at(time: float) -> list[float]:
        moves = []
        for pixel, weight in zip(t, w, strict=True):
            up = sign * weight
            room = 1 - pixel if up > 0 else pixel
            speed = 1.0 if norm == "Linf" else abs(weight)
            moves.append(0.0 if weight == 0 else min(time * speed, room) * (1 if up > 0 else -1))
        return moves

    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        gained = sum(weight * move for weight, move in zip(w, at(middle), strict=True))
        low, high = (middle, high) if sign * gained < abs(rise) else (low, middle)
    return at(high)


def points(model: nn.Module, x: Tensor, y: int, target: int, steps: int, norm: str) -> list[Tensor]:
    """Return the current point after each step, `[1, ...]`; bias 0.1, overshoot 1.05, back 0.9."""
    size: Callable[[Tensor], float] = lambda d: float(d.abs().max() if norm == "Linf" else d.norm())  # noqa: E731
    point, found = x, []
    for _ in range(steps):
        asked = point.detach().requires_grad_()
        logits = model(asked)[0]
        ahead = logits[target] - logits[y]
        w = torch.autograd.grad(ahead, asked)[0].flatten()
        # The plane: <w, z> = <w, point> - ahead.
        level = float(w @ point.flatten()) - ahead.item()
        steps_to = [
            torch.tensor(
                bisected(p.flatten().tolist(), w.tolist(), level - float(w @ p.flatten()), norm), dtype=x.dtype
            )
            for p in (point, x)
        ]
        near, far = (max(size(step), 1e-8) for step in steps_to)
        share = min(near / (near + far), 0.1)
        here, there = (p + 1.05 * step.view_as(x) for p, step in zip((point, x), steps_to, strict=True))
        point = ((1 - share) * here + share * there).clamp(0, 1)
        if int(model(point)[0].argmax()) != y:
            point = x + 0.9 * (point - x)
        found.append(point.detach())
    return found
