"""One evaluation in several processes, as `torchrun` or `accelerate launch` starts them."""

from __future__ import annotations

import os
from typing import TypeVar

import torch

from robustill.evaluation.store import VerdictStore
from robustill.training.leave import leave_at_exit

T = TypeVar("T")


def part(device: torch.device) -> tuple[int, int]:
    """Return the number of this process and how many there are; (0, 1) without a launcher.

    With several, each is bound to a GPU of its own unless `device` is the CPU.

    >>> import torch
    >>> part(torch.device("cpu"))
    (0, 1)
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1
    from accelerate import PartialState

    leave_at_exit()
    state = PartialState(cpu=device.type == "cpu")
    return state.process_index, state.num_processes


def is_first() -> bool:
    """Return whether this process is the one that reports.

    >>> is_first()
    True
    """
    return int(os.environ.get("RANK", "0")) == 0


def gather(store: VerdictStore, processes: int) -> None:
    """Let every process know the verdicts of all."""
    if processes > 1:
        for levels, seconds in everyones((store.levels, store.seconds), processes):
            store.absorb(levels, seconds)


def everyones(value: T, processes: int) -> list[T]:
    """Return what each process has for `value`, in the order of their numbers; tensors have to be on the CPU."""
    if processes == 1:
        return [value]
    from accelerate.utils import gather_object

    return list(gather_object([value]))
