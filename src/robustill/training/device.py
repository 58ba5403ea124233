"""The device and precision of a run, through accelerate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from robustill.errors import InputError
from robustill.models.arithmetic import fast_bfloat16
from robustill.training.leave import leave_at_exit
from robustill.training.settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator


def find_device(name: str) -> torch.device:
    """Return the device `name`: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.

    Raises:
        InputError: There is none.
    """
    match = re.fullmatch(r"auto|cpu|mps|cuda(?::(\d{1,4}))?", name)
    if match is None:
        raise InputError(f"unknown device {name!r}", "choose auto, cpu, cuda, cuda:N or mps")
    other = "choose another device, such as 'cpu'"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r} was asked for, but PyTorch sees no CUDA device", other)
    if match[1] is not None and int(match[1]) >= torch.cuda.device_count():
        raise InputError(f"there is no {name!r}, PyTorch sees {torch.cuda.device_count()} CUDA device(s)", other)
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("device 'mps' was asked for, but PyTorch sees none", other)
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    return torch.device(name)


def settled(settings: Settings, began: Mapping[str, Any] | None = None) -> Settings:
    """Return settings whose `mixed_precision` is no or bf16: what "auto" comes to on this machine.

    Args:
        settings: Of a run.
        began: Those of its checkpoint, where it is resumed: arithmetic does not change within a run.

    Raises:
        InputError: No such device.
    """
    if settings.mixed_precision != "auto":
        return settings
    then = (began or {}).get("mixed_precision")
    fast = then == "bf16" if then in ("no", "bf16") else fast_bfloat16(find_device(settings.device))
    return settings.model_copy(update={"mixed_precision": "bf16" if fast else "no"})


def accelerator_for(settings: Settings) -> Accelerator:
    """Return an accelerator for settled settings' device and precision; it connects the processes that were launched.

    Raises:
        InputError: No such device, or not one for each process.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    device = find_device(settings.device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _check_one_each(settings.device, device.type)
        leave_at_exit()
    elif device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # accelerate keeps its state for the process; a second run may want another precision or device.
    if PartialState._shared_state:
        AcceleratorState._reset_state(reset_partial_state=PartialState().num_processes == 1)
    return Accelerator(mixed_precision=settings.mixed_precision, cpu=device.type == "cpu")


def _check_one_each(name: str, kind: str) -> None:
    if name.startswith("cuda:"):
        raise InputError(f"several processes cannot share {name!r}", "device = 'cuda' gives each one of its own")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if kind == "cuda" and here > torch.cuda.device_count():
        raise InputError(
            f"{here} processes on a machine with {torch.cuda.device_count()} GPU(s)",
            "start one process for each GPU, or train with device = 'cpu'",
        )


def restore_device_generator(device: torch.device, random: dict[str, Any]) -> None:
    """Let a GPU draw on as the one did that wrote a checkpoint, whichever and however many there are now.

    Args:
        device: Of this process.
        random: A checkpoint's random state, with the number of its device.
    """
    states, index = random["cuda"], int(random.get("device", 0))
    if device.type == "cuda" and index < len(states):
        torch.cuda.set_rng_state(states[index], device)


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Compute with `count` CPU threads for the block; 0 leaves the number as it is."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
