"""One evaluation in several processes, as `torchrun` or `accelerate launch` starts them."""

from __future__ import annotations

import os

import torch

from robustill.evaluation.store import VerdictStore
from robustill.training.leave import leave_at_exit


def part(device: torch.device) -> tuple[int, int]:
    """Return the number of this process and how many there are; (0, 1) without a launcher.

    With several, each is bound to a GPU of its own unless `device` is the CPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1
    from accelerate import PartialState

    leave_at_exit()
    state = PartialState(cpu=device.type == "cpu")
    return state.process_index, state.num_processes


def is_first() -> bool:
    """Return whether this process is the one that reports."""
    return int(os.environ.get("RANK", "0")) == 0


def gather(store: VerdictStore, processes: int) -> None:
    """Let every process know the verdicts of all."""
    if processes == 1:
        return
    from accelerate.utils import gather_object

    for levels, seconds in gather_object([(store.levels, store.seconds)]):
        store.absorb(levels, seconds)
