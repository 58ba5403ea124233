"""Every cell once: teachers before students, what is done not again, what fails without stopping the rest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from robustill.study.cells import Cell
from robustill.study.folder import FAILED, INTERRUPTED, JOB, LOG, Store
from robustill.study.table import Resources
from robustill.writing import make_folder, write_json

QUEUED, RUNNING, DONE, BROKEN, BLOCKED = "queued", "running", "done", "failed", "blocked"
_DRAW_S = 0.5


@dataclass
class Job:
    """A cell on its way.

    Args:
        cell: What it computes.
        folder: Where.
        state: `queued`, `running`, `done`, `failed`, or `blocked` by one that failed.
        why: Why it failed or is blocked.
        tries: Processes that were started for it in this call.
        began: When the last one was, by a steady clock.
        seconds: How long the last one took.
    """

    cell: Cell
    folder: Path
    state: str = QUEUED
    why: str = ""
    tries: int = 0
    began: float = 0.0
    seconds: float = 0.0


class Runner(Protocol):
    """Where processes of cells are started."""

    def check(self, resources: Resources, name: str) -> None:
        """Raise if a cell can never be started."""

    def fits(self, resources: Resources) -> bool:
        """Return whether one more cell can be started now."""

    def start(self, key: str, folder: Path, resources: Resources) -> None:
        """Start a cell."""

    def wait(self, seconds: float) -> list[tuple[str, int]]:
        """Return what has ended, with exit codes."""

    def stop(self, *, at_once: bool) -> None:
        """Stop what is running."""

    def close(self) -> None:
        """Leave nothing running."""


class Board(Protocol):
    """Where people see what happens."""

    def changed(self, job: Job) -> None:
        """Tell that a job is in another state."""

    def draw(self) -> None:
        """Bring what is shown up to date."""

    def say(self, text: str) -> None:
        """Tell something."""


def jobs_of(cells: Iterable[Cell], store: Store, *, retry_failed: bool = False) -> dict[str, Job]:
    """Return a job for every different cell, by folder, teachers first.

    What failed by itself stays failed until it is asked for again; what was killed, or met something that passes,
    such as a full disk, is tried again.
    """
    found: dict[str, Job] = {}
    for cell in cells:
        if cell.folder in found:
            continue
        job = found[cell.folder] = Job(cell, store.of(cell))
        failure = store.failure(cell)
        if store.done(cell):
            job.state = DONE
        elif failure is not None and not retry_failed and _stands(failure, cell):
            job.state, job.why = BROKEN, told(failure)
    _block(found)
    return found


def _stands(failure: dict[str, Any], cell: Cell) -> bool:
    passing = failure.get("killed") or failure.get("passing")
    return failure.get("address") == cell.address and not passing


def told(failure: dict[str, Any]) -> str:
    """Return why a cell failed as one line."""
    lines = str(failure.get("message") or "").splitlines() or [""]
    hint = f" ({failure['hint']})" if failure.get("hint") else ""
    kind = "" if "hint" in failure else f"{failure.get('error')}: "
    return f"{kind}{lines[0]}{hint}"


class Schedule:
    """Runs jobs until none is left that can be.

    Args:
        jobs: By folder.
        store: Where cells live.
        runner: Where they are started.
        board: Where people see it.
        retries: Further tries of a cell whose process crashed or was killed.
    """

    def __init__(self, jobs: dict[str, Job], store: Store, runner: Runner, board: Board, *, retries: int) -> None:
        self.jobs, self.store, self.runner, self.board, self.retries = jobs, store, runner, board, retries

    def run(self) -> None:
        """Run every cell that can be.

        Raises:
            KeyboardInterrupt: It was told to stop; the running cells have saved themselves.
        """
        try:
            while self._start() or self._in(RUNNING):
                self._collect(stopping=False)
        except KeyboardInterrupt:
            self._leave()
            done = len(self._in(DONE))
            text = f"stopped; {done} of {len(self.jobs)} cells are done, the others saved what they had; "
            raise KeyboardInterrupt(text + "the same command goes on") from None

    def _start(self) -> bool:
        _block(self.jobs, self.board)
        started = False
        for job in self._in(QUEUED):
            ready = all(self.jobs[need.folder].state == DONE for need in job.cell.needs.values())
            if ready and self.runner.fits(job.cell.resources):
                self._begin(job)
                started = True
        return started

    def _begin(self, job: Job) -> None:
        make_folder(job.folder)
        (job.folder / FAILED).unlink(missing_ok=True)
        write_json(self.store.job(job.cell), job.folder / JOB)
        self.runner.start(job.cell.folder, job.folder, job.cell.resources)
        job.state, job.tries, job.began = RUNNING, job.tries + 1, time.monotonic()
        self.board.changed(job)

    def _collect(self, *, stopping: bool) -> None:
        for key, code in self.runner.wait(_DRAW_S):
            job = self.jobs[key]
            job.seconds = time.monotonic() - job.began
            self._judge(job, code, stopping)
            self.board.changed(job)
        self.board.draw()

    def _judge(self, job: Job, code: int, stopping: bool) -> None:
        if self.store.done(job.cell):
            job.state = DONE
            return
        if stopping:
            job.state = QUEUED
            return
        failure = self.store.failure(job.cell)
        if failure is None:
            signal = INTERRUPTED - 128 if code == INTERRUPTED else -code
            how = f"its process was killed by signal {signal}" if signal > 0 else f"its process ended with {code}"
            message = f"{how}; see {job.folder / LOG}"
            failure = {"address": job.cell.address, "error": "Killed", "message": message, "killed": True}
            write_json(failure, job.folder / FAILED)
        job.why = told(failure)
        final = bool(failure.get("final")) or job.tries > self.retries
        job.state = BROKEN if final else QUEUED

    def _leave(self) -> None:
        running = len(self._in(RUNNING))
        self.board.say(f"stopping: {running} running cells save themselves; Ctrl-C again ends them at once")
        self.runner.stop(at_once=False)
        try:
            while self._in(RUNNING):
                self._collect(stopping=True)
        except KeyboardInterrupt:
            self.runner.stop(at_once=True)

    def _in(self, state: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state == state]


def _block(jobs: dict[str, Job], board: Board | None = None) -> None:
    """Give up on queued cells whose teacher failed; teachers come first, so that one pass is enough."""
    for job in jobs.values():
        if job.state == QUEUED:
            bad = [n for n in job.cell.needs.values() if n.folder in jobs and jobs[n.folder].state in (BROKEN, BLOCKED)]
            if bad:
                job.state, job.why = BLOCKED, f"needs {bad[0].name}, which failed"
                if board is not None:
                    board.changed(job)
