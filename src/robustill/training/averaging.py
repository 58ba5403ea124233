"""Weight averaging (EMA per step, SWA per epoch) around PyTorch's `AveragedModel`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_avg_fn, update_bn

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


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether any module keeps running statistics."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


def wants_statistics(settings: AverageSettings) -> bool:
    """Return whether the averaged model's statistics are to be estimated by a pass over the data."""
    return settings.batch_norm == "reestimate" or (settings.batch_norm == "auto" and settings.name == "swa")


def reestimate_batch_norm(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Replace the running statistics of `model` by the cumulative average over `batches` of (x, y).

    Modes are restored; weights do not move. A model without batch norm is left alone and `batches` is not read.
    """
    if has_batch_norm(model):
        # `update_bn` gives all modules the mode of the outermost one.
        with eval_mode(model), torch.no_grad():
            update_bn((x for x, _ in batches), model)
