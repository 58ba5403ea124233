"""Batch norm over the batch that several processes learn together.

PyTorch's own `SyncBatchNorm` computes on GPUs alone and is another class, which a saved network, a folded copy and a
bound of the network would not know. Here the modules stay what they are: in the training step, and only there, their
statistics are sums over the processes, with gradients that flow through these sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from robustill.attacks.share import Share, current_share


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the modules of `network` that keep running statistics."""
    found = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return [module for module in found if module.running_mean is not None]


@contextmanager
def synchronised(norms: Sequence[_BatchNorm], *, always: bool) -> Iterator[None]:
    """Let `norms` normalise by the whole batch, of which each process has a share, for the block.

    Unless `always`, only where a share is too small to have a variance.
    """
    for norm in norms:
        norm.forward = partial(_forward, norm, always)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _forward(norm: _BatchNorm, always: bool, x: Tensor) -> Tensor:
    share = current_share()
    # The same answer in every process: that of the smallest share.
    if share is None or not norm.training or not (always or share.total // share.processes * x[0, 0].numel() < 2):
        own: Tensor = type(norm).forward(norm, x)
        return own
    with torch.autocast(x.device.type, enabled=False):
        return _normalised(norm, x.float() if x.dtype in (torch.bfloat16, torch.float16) else x, share).to(x.dtype)


def _normalised(norm: _BatchNorm, x: Tensor, share: Share) -> Tensor:
    dims = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    mean = _sum(share.weight * x.mean(dims))
    centred = x - mean.view(shape)
    # About the mean, not from a sum of squares: that loses the digits of a small variance.
    var = _sum(share.weight * centred.square().mean(dims))
    _move(norm, mean.detach(), var.detach(), share.total * x[0, 0].numel())
    scale = (var + norm.eps).rsqrt()
    if not norm.affine:
        return centred * scale.view(shape)
    return torch.addcmul(norm.bias.view(shape), centred, (scale * norm.weight).view(shape))


@torch.no_grad()
def _move(norm: _BatchNorm, mean: Tensor, var: Tensor, count: int) -> None:
    """Move the running statistics as PyTorch does: by the unbiased variance of the batch."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    rate = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        rate = 1 / float(norm.num_batches_tracked) if rate is None else rate
    rate = 0.0 if rate is None else rate
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), rate)
    norm.running_var.lerp_((var * count / (count - 1)).to(norm.running_var.dtype), rate)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _summed(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _summed(grad)


def _sum(value: Tensor) -> Tensor:
    found: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return found


def _summed(value: Tensor) -> Tensor:
    value = value.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(value)
    return value
