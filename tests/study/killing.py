"""Kills a study and its cells at random moments, and goes on, until it has been killed so often."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.study.small import Inline, Silent

# Kills come before a study of three cells is through, also on a slow machine.
_LATEST_S = 12.0
TABLES = ("results.csv", "results.parquet", "summary.json", "summary.md")


def undisturbed(file: Path, out: Path) -> dict[str, bytes]:
    """Run a study in this process and return its tables."""
    from robustill.study import open_study
    from robustill.study.schedule import Schedule, jobs_of

    study = open_study(file, out=out)
    study._prepare()
    runner = Inline()
    Schedule(jobs_of(study.cells.all(), study.store), study.store, runner, Silent(), retries=0).run()
    assert study.write()["missing"] == []
    return tables(out)


def tables(out: Path) -> dict[str, bytes]:
    """Return the tables of a study."""
    return {name: (out / name).read_bytes() for name in TABLES}


def command(file: Path, out: Path, *more: str) -> list[str]:
    """Return the command line of a study."""
    return [sys.executable, "-m", "robustill", "study", str(file), "--out", str(out), *more]


def killed(file: Path, folder: Path, kills: int, seed: int = 0) -> dict[str, int]:
    """Run a study until it was killed `kills` times, alternately itself and a cell, and is through.

    A study that gets through before it was killed often enough is begun again in another folder.

    Returns:
        How often what was killed, and what the tables of each finished folder were, as an assertion of the caller's.
    """
    chance, count = random.Random(seed), {"study": 0, "cell": 0, "finished": 0}
    while count["study"] + count["cell"] < kills or not (folder / str(count["finished"]) / "summary.json").exists():
        out = folder / str(count["finished"])
        left = kills - count["study"] - count["cell"]
        process = subprocess.Popen(
            command(file, out, "--jobs", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        victim = "study" if (count["study"] <= count["cell"]) else "cell"
        if left and _kill(process, victim, chance.uniform(0, _LATEST_S)):
            count[victim] += 1
            if victim == "study":
                process.wait()
                continue
        # A cell that was killed twice is left to the next call.
        if process.wait(300) == 0:
            if kills - count["study"] - count["cell"] == 0:
                break
            count["finished"] += 1
    return count


def _kill(process: subprocess.Popen[bytes], victim: str, after: float) -> bool:
    """Kill the study, or one of its cells, at a random moment; return False if it was through before."""
    until = time.monotonic() + after
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    while process.poll() is None:
        targets = [process.pid] if victim == "study" else children(process.pid)
        for pid in targets[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            return True
        time.sleep(0.02)
    return False


def children(parent: int) -> list[int]:
    """Return the processes that `parent` has started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                # The name in brackets may hold anything.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(folder.name))
    return found
