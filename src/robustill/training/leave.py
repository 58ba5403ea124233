"""Leaving the other processes at the end, without a thread that outlives the interpreter."""

from __future__ import annotations

import atexit
import gc
from functools import cache

import torch.distributed as dist


@cache
def leave_at_exit() -> None:
    """Disconnect when the interpreter ends; to be called before the processes are connected.

    A thread of gloo may still hold a tensor of the last message when the interpreter is torn down, and then kills the
    process. Disconnecting waits for these threads, but only if nothing else refers to the group.
    """
    # Its functions have the group as a default argument if it is imported, as training does, once there is one.
    import torch.distributed.nn.functional  # noqa: F401

    atexit.register(leave)


def leave() -> None:
    """Disconnect from the other processes, if there are any."""
    if dist.is_available() and dist.is_initialized():
        # What refers to the group may be a cycle, such as an error with its frames.
        gc.collect()
        dist.destroy_process_group()
