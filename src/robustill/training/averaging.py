"""Weight averaging (EMA per step, SWA per epoch) around PyTorch's `AveragedModel`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_avg_fn

from robustill.attacks import eval_mode
from robustill.training.settings import AverageSettings

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(student: nn.Module, settings: AverageSettings) -> AveragedModel | None:
    """Return the averaged copy of `student`, or None when averaging is off.

    EMA averages batch-norm statistics as well; SWA averages parameters alone (its statistics are estimated again),
    unless `settings.batch_norm` is "average".
    """
    if settings.name == "none":
        return None
    if settings.name == "ema":
        decay = get_ema_multi_avg_fn(settings.decay)  # type: ignore[no-untyped-call]
        return AveragedModel(student, multi_avg_fn=decay, use_buffers=True)
    if settings.batch_norm == "average":
        return AveragedModel(student, multi_avg_fn=_mean, use_buffers=True)
    return AveragedModel(student)


@torch.no_grad()
def _mean(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
    """Take `current` into the mean of `count` before it; of whole numbers, such as counted batches, keep the last."""
    swa = get_swa_avg_fn()  # type: ignore[no-untyped-call]
    for mean, new in zip(averaged, current, strict=True):
        mean.copy_(swa(mean, new, count) if mean.is_floating_point() else new)


def due(settings: AverageSettings, epoch: int, *, end_of_epoch: bool) -> bool:
    """Return whether the average takes in the student now: after each step (EMA) or each epoch (SWA)."""
    return epoch >= settings.start and end_of_epoch == (settings.name == "swa")


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the modules that keep running statistics."""
    return [each for each in model.modules() if isinstance(each, _BatchNorm)]


def wants_statistics(settings: AverageSettings) -> bool:
    """Return whether the averaged model's statistics are to be estimated by a pass over the data."""
    return settings.batch_norm == "reestimate" or (settings.batch_norm == "auto" and settings.name == "swa")


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Replace the running statistics of `model` by their mean over `batches` of (x, y), each weighted by its size.

    Modes are restored; weights do not move. A model without batch norm is left alone and `batches` is not read.
    """
    norms = batch_norms(model)
    if not norms:
        return
    momenta, seen = [each.momentum for each in norms], dict.fromkeys(norms, 0)

    def weigh(norm: _BatchNorm, given: tuple[Tensor, ...]) -> None:
        # PyTorch's `update_bn` gives the rest at the end as much weight as a whole batch.
        seen[norm] += len(given[0])
        norm.momentum = len(given[0]) / seen[norm]

    hooks = [each.register_forward_pre_hook(weigh) for each in norms]
    try:
        with eval_mode(model):
            model.train()
            for each in norms:
                each.reset_running_stats()
            for x, _ in batches:
                model(x)
    finally:
        for each, momentum, hook in zip(norms, momenta, hooks, strict=True):
            each.momentum = momentum
            hook.remove()
