"""The device and precision of a run, through accelerate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from robustill.errors import InputError
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


def accelerator_for(settings: Settings) -> Accelerator:
    """Return an accelerator for the settings' device and precision.

    Raises:
        InputError: No such device, or more than one process.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    device = find_device(settings.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # accelerate keeps its state for the process; a second run may want another precision or device.
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=settings.mixed_precision, cpu=device.type == "cpu")
    if accelerator.num_processes > 1:
        raise InputError("training runs in one process, but several were launched", "start it without a launcher")
    return accelerator


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
