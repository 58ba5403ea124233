"""The device and precision of a run, through accelerate."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from robustill.errors import InputError
from robustill.training.settings import Settings


def accelerator_for(settings: Settings) -> Accelerator:
    """Return an accelerator for the settings' device and precision.

    Raises:
        InputError: No such device, or more than one process.
    """
    kind = settings.device.split(":")[0]
    if kind not in ("auto", "cpu", "cuda", "mps"):
        raise InputError(f"unknown device {settings.device!r}", "choose auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device", "device = 'auto' or 'cpu'")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("device 'mps' was asked for, but PyTorch sees none", "device = 'auto' or 'cpu'")
    if ":" in settings.device:
        torch.cuda.set_device(torch.device(settings.device))
    # accelerate keeps its state for the process; a second run may want another precision or device.
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=settings.mixed_precision, cpu=kind == "cpu")
    if accelerator.num_processes > 1:
        raise InputError("training runs in one process, but several were launched", "start it without a launcher")
    return accelerator
