"""The test attack: PGD over all coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.theory.students import Students, cubed

_WORTH_COPYING = 0.93


def stands(one: Students, x: Tensor, y: Tensor, start: Tensor, eps: float, steps: int) -> Tensor:
    """Return which samples stay right at every point that the attack visits, boolean `[n]`.

    It visits `x`, `x + start` and `steps` sign steps of `2.5 eps / steps` from there, cut to the ball. Samples
    that are wrong once leave.

    Args:
        one: One student, its weights `[d, H]`.
        x: Samples `[n, P, d]`.
        y: Their labels -1 or 1.
        start: The start's offset `[n, P, d]`, in the ball.
        eps: Linf radius.
        steps: Steps.
    """
    right = cubed(one, x @ one.weights) * y > 0
    rows = right.nonzero()[:, 0]
    back = (one.weights * one.signs).T.contiguous()
    x, y = x[rows], y[rows, None, None]
    adv, low, high = x + start[rows], x - eps, x + eps
    for step in range(steps + 1):
        h = one.rectified(adv.flatten(0, 1) @ one.weights)
        slope = (h.mul_(h) @ back).view_as(adv)
        # `f` is homogeneous of degree three, so its value is a third of <x, gradient>: no second pass over the filters.
        right[rows] &= torch.linalg.vecdot(adv.flatten(1), slope.flatten(1)) * y[:, 0, 0] > 0
        stand = right[rows]
        count = int(stand.sum())
        if not count:
            break
        if count < _WORTH_COPYING * len(rows):
            rows, y, adv, low, high, slope = (each[stand] for each in (rows, y, adv, low, high, slope))
        if step < steps:
            adv.addcmul_(slope.sign_(), y, value=-2.5 * eps / steps).clamp_(low, high)
    return right
