"""Batches in parts: each is attacked and learned by itself, and their gradients are added up.

Several processes learn each part together; every process has a share of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustill.attacks.share import Share, sharing
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


@dataclass(frozen=True)
class Portion:
    """What a process learns at once: its share of a part of the batch.

    Args:
        at: Its positions in the batch.
        own: Its positions among the process's own images of the batch.
        share: Which rows of the part it is; None in one process.
        weight: How much its mean counts in that of the batch.
    """

    at: slice
    own: slice
    share: Share | None
    weight: float


def portions(size: int, count: int, *, process: int = 0, processes: int = 1) -> list[Portion]:
    """Return what one of `processes` learns of a batch of `size`, one for each of `count` parts.

    >>> [[(p.at.start, p.at.stop) for p in portions(7, 2, process=k, processes=2)] for k in range(2)]
    [[(0, 2), (4, 6)], [(2, 4), (6, 7)]]
    """
    found: list[Portion] = []
    begin = 0
    for part in parts(size, count):
        total = part.stop - part.start
        share = share_of(total, process, processes)
        start, stop = (0, total) if share is None else (share.start, share.stop)
        weight = (total if share is None else total * share.weight) / size
        at = slice(part.start + start, part.start + stop)
        found.append(Portion(at, slice(begin, begin + stop - start), share, weight))
        begin += stop - start
    return found


def share_of(total: int, process: int, processes: int) -> Share | None:
    """Return the rows that one of `processes` has of `total`: all, if there are fewer rows than processes."""
    if processes == 1:
        return None
    if total < processes:
        return Share(0, total, total, processes)
    own = list(parts(total, processes))[process]
    return Share(own.start, own.stop, total, processes)


def positions(portions: Sequence[Portion]) -> Tensor:
    """Return the positions in the batch that portions have together, int64, in their order."""
    return torch.cat([torch.arange(portion.at.start, portion.at.stop) for portion in portions])


def backward(
    method: Method,
    x: Tensor,
    y: Tensor,
    settings: Settings,
    accelerator: Accelerator,
    answers: Answers,
    shared: Sequence[Portion] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradient of a batch to what is there, part by part; return its loss and terms, means over the batch.

    With several processes, gradient, loss and terms are those of this process's images, weighted so that their sums
    over the processes are those of the batch.

    Args:
        method: Called on each part.
        x: Images `[B, C, H, W]`, this process's own.
        y: Labels `[B]`.
        settings: Number of parts, and the scale of the loss.
        accelerator: Decides the precision.
        answers: Told of each part before it is learned; says which rows it is, and the method is told.
        shared: The process's portions of the batch; the parts of `x` when None.
    """
    totals: list[Tensor] = []
    terms: dict[str, list[Tensor]] = {}
    for portion in portions(len(x), settings.micro_batches) if shared is None else shared:
        part, weight = portion.own, portion.weight
        given = (x, y) if part.stop - part.start == len(x) else (x[part], y[part])
        rows = answers.expect(given[0], part)
        if rows is not None:
            method.expect(given[0], rows)
        with sharing(portion.share):
            with accelerator.autocast():
                loss = method(*given)
            accelerator.backward(settings.loss_scale * weight * loss.total)
        totals.append(weight * loss.total.detach())
        for name, value in loss.terms.items():
            terms.setdefault(name, []).append(weight * value)
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


def check_processes(method: Method, settings: Settings, processes: int) -> None:
    """Check that several processes can learn a batch of `method` together with the same result as one.

    Raises:
        InputError: Its loss or its state looks at the whole batch and cannot be told of the other processes' shares,
            or there are more processes than examples in a part.
    """
    if processes == 1:
        return
    least = settings.batch_size // settings.micro_batches
    if least < processes:
        of = f" in {settings.micro_batches} parts" if settings.micro_batches > 1 else ""
        raise InputError(
            f"batch_size = {settings.batch_size}{of} is too small for {processes} processes",
            "it is the number of images that all processes learn together; raise it, or start fewer processes",
        )
    for module in method.modules():
        why = getattr(module, "whole_batch", None)
        if why is not None and not getattr(module, "among_processes", False):
            raise InputError(f"{processes} processes: {why}", "start it in one process, without a launcher")
