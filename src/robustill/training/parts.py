"""Batches in parts: each is attacked and learned by itself, and their gradients are added up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustill.errors import InputError
from robustill.methods.base import Method
from robustill.training.answers import Answers
from robustill.training.settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator


def parts(size: int, count: int) -> Iterator[slice]:
    """Cut `size` examples into `count` parts whose sizes differ by one at most; into `size` if there are fewer.

    >>> [(part.start, part.stop) for part in parts(7, 3)]
    [(0, 3), (3, 5), (5, 7)]
    """
    count = min(count, size)
    ends = [k * (size // count) + min(k, size % count) for k in range(count + 1)]
    return (slice(start, stop) for start, stop in pairwise(ends))


def backward(
    method: Method, x: Tensor, y: Tensor, settings: Settings, accelerator: Accelerator, answers: Answers
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradient of a batch to what is there, part by part; return its loss and terms, means over the batch.

    Args:
        method: Called on each part.
        x: Images `[B, C, H, W]`.
        y: Labels `[B]`.
        settings: Number of parts, and the scale of the loss.
        accelerator: Decides the precision.
        answers: Told of each part before it is learned; says which rows it is, and the method is told.
    """
    totals: list[Tensor] = []
    terms: dict[str, list[Tensor]] = {}
    for part in parts(len(x), settings.micro_batches):
        share = (part.stop - part.start) / len(x)
        given = (x, y) if share == 1 else (x[part], y[part])
        rows = answers.expect(given[0], part)
        if rows is not None:
            method.expect(given[0], rows)
        with accelerator.autocast():
            loss = method(*given)
        accelerator.backward(settings.loss_scale * share * loss.total)
        totals.append(share * loss.total.detach())
        for name, value in loss.terms.items():
            terms.setdefault(name, []).append(share * value)
    return torch.stack(totals).sum(), {name: torch.stack(values).sum() for name, values in terms.items()}


def check_micro_batches(method: Method, settings: Settings) -> None:
    """Check that learning a batch of `method` in parts is the same as learning it whole, batch norm apart.

    Raises:
        InputError: Its loss or its state looks at the whole batch, or there are more parts than examples.
    """
    if settings.micro_batches == 1:
        return
    if settings.micro_batches > settings.batch_size:
        raise InputError(
            f"micro_batches = {settings.micro_batches} is more than batch_size = {settings.batch_size}",
            "it is the number of parts of a batch, not their size",
        )
    for module in method.modules():
        why = getattr(module, "whole_batch", None)
        if why is not None:
            raise InputError(f"micro_batches = {settings.micro_batches}: {why}", "set micro_batches = 1")
