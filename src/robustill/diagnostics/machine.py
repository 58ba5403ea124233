"""Cores, what they can do, GPUs, memory, disk and terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

from robustill.models.arithmetic import fast_bfloat16

Line = tuple[str, Literal["ok", "warn", "fail"], str, str]

_GIB = 2**30
# A run leaves behind some hundred megabytes: weights, and two checkpoints with their optimizers.
_FULL, _SCARCE, _MEMORY, _COLUMNS = 0.1, 2.0, 2.0, 100


def machine() -> Iterator[Line]:
    """Yield lines about cores, their instructions, memory and GPUs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    over = threads > cores
    advice = "small CNNs are fastest with one: --set training.threads=1"
    if over:
        advice = f"more threads than cores wait for one another: OMP_NUM_THREADS={cores}, or training.threads"
    yield "cores", "warn" if over else "ok", f"{cores} for this process; threads of PyTorch: {threads}", advice
    yield _instructions()
    free = _free_memory()
    if free is not None:
        low = free < _MEMORY
        do = "smaller batches, training.micro_batches, or close something" if low else ""
        yield "memory", "warn" if low else "ok", f"{free:.1f} GiB free", do
    yield _gpu()


def _instructions() -> Line:
    found = [name for name, known in (
        ("AMX", torch.cpu._is_amx_tile_supported), ("AVX-512 BF16", torch.cpu._is_avx512_bf16_supported),
        ("AVX-512", torch.cpu._is_avx512_supported), ("AVX2", torch.cpu._is_avx2_supported),
    ) if known()]  # fmt: skip
    says = ", ".join(found) or torch.backends.cpu.get_cpu_capability()
    if fast_bfloat16(torch.device("cpu")):
        do = "bfloat16 pays: --set training.mixed_precision=auto --set training.channels_last=true"
        return "instructions", "ok", says, do
    return "instructions", "ok", says, "no fast bfloat16: training.mixed_precision auto or no, not bf16"


def _gpu() -> Line:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        several = "torchrun --nproc-per-node N -m robustill train ... uses all of them" if len(names) > 1 else ""
        return "GPU", "ok", ", ".join(names), several
    if torch.version.cuda is not None:
        return "GPU", "warn", f"none usable, though PyTorch is built for CUDA {torch.version.cuda}", "check nvidia-smi"
    if torch.backends.mps.is_available():
        return "GPU", "ok", "Apple (mps)", "--set training.device=mps"
    return "GPU", "ok", "none, computing on the CPU", "the recipes for digits and Fashion-MNIST are made for that"


def _free_memory() -> float | None:
    """Return gibibytes; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return None if found is None else int(found[1]) * 1024 / _GIB


def disk(runs: Path) -> Iterator[Line]:
    """Yield lines about the folder that runs go to, which need not be there."""
    place = runs.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    name = f"folder {runs}"
    if not place.is_dir():
        yield name, "fail", f"{place} is no folder", "give another with --runs"
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield name, "fail", f"{place} cannot be written", "make it writable, or give another with --runs"
        return
    yield name, "ok", "writable" if place == runs.absolute() else f"can be made in {place}", ""
    free = shutil.disk_usage(place).free / _GIB
    says = f"{free:.1f} GiB free"
    if free < _FULL:
        yield "disk", "fail", says, "make room, or give a folder on another disk with --runs"
    elif free < _SCARCE:
        yield (
            "disk",
            "warn",
            says,
            "a run needs some hundred MB: make room, or give a folder on another disk with --runs",
        )
    else:
        yield "disk", "ok", says, ""


def terminal() -> Iterator[Line]:
    """Yield a line about the width that tables have."""
    if not sys.stdout.isatty():
        yield "terminal", "ok", "output goes to a file: plain lines", "--json is for programs"
        return
    columns = shutil.get_terminal_size().columns
    narrow = columns < _COLUMNS
    do = f"tables fold: widen it to {_COLUMNS}, or take --json" if narrow else ""
    yield "terminal", "warn" if narrow else "ok", f"{columns} columns", do
