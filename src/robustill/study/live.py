"""The state of a study for people: a live table in a terminal, plain lines elsewhere, and always in a log file."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from robustill.progress import duration
from robustill.study.schedule import BLOCKED, BROKEN, DONE, QUEUED, RUNNING, Job
from robustill.terminal import printable

_ROWS = 20
_TAIL = 8192


class Display:
    """Shows jobs while the block runs.

    Args:
        jobs: What is shown.
        log: File that every change is written to, with the time.
    """

    def __init__(self, jobs: dict[str, Job], log: Path) -> None:
        self._jobs, self._log = jobs, log
        self._console = Console(stderr=True, soft_wrap=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._began, self._before = time.monotonic(), self._count()[DONE]

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        self.say(f"{self._before} of {len(self._jobs)} cells were done before")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self.draw()
            self._live.stop()

    def changed(self, job: Job) -> None:
        """Tell that a job is in another state."""
        text = f"{job.state}: {job.cell.name} ({job.cell.folder})"
        if job.state == QUEUED:
            place = f"{job.cell.name} ({job.cell.folder})"
            text = f"again: {place}: {job.why}" if job.why else f"stopped: {place}"
        elif job.state == DONE:
            text += f", {duration(job.seconds)}; {self._summary()}"
        elif job.why:
            text += f": {job.why}"
        self.say(text, job.state in (BROKEN, BLOCKED))

    def say(self, text: str, always: bool = False) -> None:
        """Tell something: a line in the log, and on the screen where there is no table, or `always`."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        if self._live is None or always:
            self._console.print(escape(printable(text)), highlight=False)

    def draw(self) -> None:
        """Bring the table up to date."""
        if self._live is None:
            return
        table = Table("cell", "state", "progress", "time", box=None)
        running = [job for job in self._jobs.values() if job.state == RUNNING]
        failed = [job for job in self._jobs.values() if job.state in (BROKEN, BLOCKED)]
        for job in running[:_ROWS]:
            spent = duration(time.monotonic() - job.began)
            table.add_row(escape(job.cell.name), "[cyan]running[/]", progress(job), spent)
        for job in failed[-_ROWS:]:
            table.add_row(escape(job.cell.name), f"[red]{job.state}[/]", escape(printable(job.why)), "")
        self._live.update(Group(table, self._summary()), refresh=True)

    def _summary(self) -> str:
        count = self._count()
        states = [f"{count[state]} {state}" for state in (DONE, RUNNING, QUEUED, BROKEN, BLOCKED) if count[state]]
        return ", ".join([*states, *self._eta(count)])

    def _eta(self, count: Counter[str]) -> list[str]:
        left, new = count[RUNNING] + count[QUEUED], count[DONE] - self._before
        if not left or not new:
            return []
        return [f"ETA {duration((time.monotonic() - self._began) / new * left)}"]

    def _count(self) -> Counter[str]:
        return Counter(job.state for job in self._jobs.values())


def progress(job: Job) -> str:
    """Return how far a running cell's training is, from the end of its journal."""
    try:
        with (job.folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            lines = file.read().splitlines()
        last = json.loads(lines[-1])
        epochs = job.cell.recipe.training.epochs
        over = last["kind"] == "epoch" and last["epoch"] + 1 == epochs
        return "evaluating" if over else f"epoch {last['epoch'] + 1} of {epochs}"
    # Not begun, or a line that is just being written.
    except (OSError, ValueError, LookupError, TypeError):
        return "starting"
