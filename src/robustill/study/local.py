"""Cells as processes of this machine, as many at once as its cores, memory and GPUs carry."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustill.errors import InputError
from robustill.plugins import handing_on
from robustill.study.folder import LOG
from robustill.study.table import Resources

_POLL_S = 0.05
# Halves and thirds of a GPU add up to one.
_ROUNDING = 1e-6


def command(folder: Path) -> list[str]:
    """Return the command line of a cell's process; -P keeps modules of the working folder out that nobody named."""
    return [sys.executable, "-P", "-m", "robustill.study.run_cell", str(folder), "--parent", str(os.getpid())]


def start(folder: Path, environment: Mapping[str, str], own: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the process of a cell, in a group of its own: Ctrl-C reaches it through the study alone.

    Args:
        folder: The cell's.
        environment: What the process has beside this one's.
        own: What it imports first and where it finds that, as `handing_on` says it in the process of the study.
    """
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [*command(folder), *own], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip


def environment_of(resources: Resources) -> dict[str, str]:
    """Return the environment that holds a cell to its threads, and off the GPUs if it asked for none."""
    threads = {name: str(resources.cpus) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return threads if resources.gpus else {**threads, "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Machine:
    """What this machine has for cells."""

    cpus: int
    memory_gb: float
    gpus: tuple[str, ...]

    @classmethod
    def here(cls, *, gpus: bool) -> Machine:
        """Return this machine; its GPUs are counted only if some cell wants one."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
        return cls(cores, pages / 2**30 or float("inf"), _gpus() if gpus else ())


class Local:
    """Starts cells and says which have ended.

    Args:
        machine: What there is.
        jobs: Cells at once; as many as the machine carries when None.
    """

    def __init__(self, machine: Machine, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise InputError(f"--jobs {jobs}: at least one cell at a time is needed")
        self.machine, self.jobs = machine, jobs
        self._running: dict[str, tuple[subprocess.Popen[bytes], Resources, list[int]]] = {}
        self._free = [1.0] * len(machine.gpus)

    def check(self, resources: Resources, name: str) -> None:
        """Raise InputError if a cell wants more than the whole machine has."""
        whole = resources.gpus <= 1 or resources.gpus == int(resources.gpus)
        if resources.gpus > len(self.machine.gpus) or not whole:
            has = f"this machine has {len(self.machine.gpus)}"
            raise InputError(f"{name} wants {resources.gpus:g} GPUs, {has}", "set resources.gpus, or use --ray")
        if resources.memory_gb > self.machine.memory_gb:
            raise InputError(
                f"{name} wants {resources.memory_gb:g} GB, this machine has {self.machine.memory_gb:.0f}",
                "lower resources.memory_gb of the study, or run it on a larger machine",
            )

    def fits(self, resources: Resources) -> bool:
        """Return whether there is room for one more cell; an empty machine has room for any."""
        if not self._running:
            return True
        taken = [each for _, each, _ in self._running.values()]
        if self.jobs is not None and len(taken) >= self.jobs:
            return False
        # --jobs is a person's word; without it the cores decide.
        cpus = self.jobs is not None or sum(each.cpus for each in taken) + resources.cpus <= self.machine.cpus
        memory = sum(each.memory_gb for each in taken) + resources.memory_gb <= self.machine.memory_gb
        return cpus and memory and self._places(resources) is not None

    def start(self, key: str, folder: Path, resources: Resources) -> None:
        """Start the cell `key`."""
        places = self._places(resources) or []
        environment = environment_of(resources)
        if places:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.machine.gpus[place] for place in places)
        for place in places:
            self._free[place] -= min(resources.gpus, 1.0)
        self._running[key] = (start(folder, environment, handing_on()), resources, places)

    def wait(self, seconds: float) -> list[tuple[str, int]]:
        """Return the cells that have ended with their exit codes, as soon as one has, or after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            ended = [(key, process.poll()) for key, (process, _, _) in self._running.items()]
            found = [(key, code) for key, code in ended if code is not None]
            if found or time.monotonic() > until or not self._running:
                break
            time.sleep(_POLL_S)
        for key, _ in found:
            _, resources, places = self._running.pop(key)
            for place in places:
                self._free[place] += min(resources.gpus, 1.0)
        return found

    def stop(self, *, at_once: bool) -> None:
        """Ask the running cells to save themselves and end, or end them at once."""
        for process, _, _ in self._running.values():
            if process.poll() is None:
                process.kill() if at_once else process.terminate()

    def close(self) -> None:
        """Leave nothing running."""
        self.stop(at_once=True)
        for process, _, _ in self._running.values():
            process.wait()

    def _places(self, resources: Resources) -> list[int] | None:
        """Return the GPUs for a cell; None if they are taken."""
        if not resources.gpus:
            return []
        share, count = min(resources.gpus, 1.0), max(1, int(resources.gpus))
        open_ = [place for place, free in enumerate(self._free) if free + _ROUNDING >= share]
        # The fullest first, so that whole ones are left for those that want one.
        open_.sort(key=lambda place: self._free[place])
        return open_[:count] if len(open_) >= count else None


def _gpus() -> tuple[str, ...]:
    visible: Any = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(each.strip() for each in visible.split(",") if each.strip())
    import torch

    return tuple(str(index) for index in range(torch.cuda.device_count()))
