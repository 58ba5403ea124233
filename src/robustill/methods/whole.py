"""Means, sums and extremes over the whole batch, of which this process may have a share only.

In one process, and outside a training step, they return what they are given. Every process must ask for the same in
the same order, so none of these may stand behind a condition on the images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from robustill.attacks.share import current_share


@torch.no_grad()
def whole_mean(mean: Tensor) -> Tensor:
    """Return the mean over the whole batch from the mean over the rows at hand, detached.

    >>> whole_mean(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    share = current_share()
    return mean.detach() if share is None else _reduced(mean * share.weight, dist.ReduceOp.SUM)


@torch.no_grad()
def whole_sum(total: Tensor) -> Tensor:
    """Return the sum over the whole batch from the sum over the rows at hand, detached."""
    share = current_share()
    return total.detach() if share is None else _reduced(total * share.counted, dist.ReduceOp.SUM)


@torch.no_grad()
def whole_max(largest: Tensor) -> Tensor:
    """Return the largest value of the whole batch from the largest of the rows at hand, detached."""
    return largest.detach() if current_share() is None else _reduced(largest, dist.ReduceOp.MAX)


def whole_min(smallest: Tensor) -> Tensor:
    """Return the smallest value of the whole batch from the smallest of the rows at hand, detached."""
    return -whole_max(-smallest)


def whole_size(rows: int) -> int:
    """Return how many rows the whole batch has."""
    share = current_share()
    return rows if share is None else share.total


def whole_gradient(mean: Tensor, weights: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the gradient by `weights` of the mean over the whole batch, from the mean over the rows at hand.

    None for weights that it does not depend on.
    """
    share = current_share()
    # Weighted before and not after: behind a synchronised batch norm, one process's loss moves another's gradient.
    weighted = mean if share is None else share.weight * mean
    grads: list[Tensor | None] = list(torch.autograd.grad(weighted, weights, allow_unused=True))
    known = [grad for grad in grads if grad is not None]
    if share is None or not known:
        return grads
    flat = _reduced(torch.cat([grad.reshape(-1) for grad in known]), dist.ReduceOp.SUM)
    sums = iter(torch.split(flat, [grad.numel() for grad in known]))
    return [None if grad is None else next(sums).view(grad.shape) for grad in grads]


def _reduced(value: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
    value = value.detach().clone()
    dist.all_reduce(value, how)
    return value
