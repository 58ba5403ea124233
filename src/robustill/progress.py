"""Progress for people: a bar with an ETA in a terminal, plain lines in a log file.

Bars go to standard error, so that standard output stays clean for tables and JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 15.0


class Bar:
    """A running display; `advance` moves it, `note` changes the text behind it."""

    def __init__(self, label: str, total: int, done: int, progress: Progress | None) -> None:
        self._label, self._total, self._done, self._start_done = label, total, done, done
        self._progress, self._text = progress, ""
        self._task = progress.add_task(label, total=total, completed=done, note="") if progress else None
        self._began = self._printed = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        """Count `steps` units as done."""
        self._done += steps
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done)
        elif time.monotonic() - self._printed > _LINE_EVERY_S:
            self._printed = time.monotonic()
            rate = (self._done - self._start_done) / (self._printed - self._began)
            eta = (self._total - self._done) / rate if rate else float("inf")
            sys.stderr.write(f"{self._label} {self._done}/{self._total} {self._text} (ETA {eta:.0f} s)\n")
            sys.stderr.flush()

    def note(self, text: str) -> None:
        """Show `text` behind the bar."""
        self._text = text
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, note=text)


@contextmanager
def bar(label: str, total: int, *, done: int = 0, show: bool = True) -> Iterator[Bar]:
    """Show progress of `total` units while the block runs; `done` of them were done before.

    In a terminal this is a bar with elapsed and remaining time; elsewhere a line every 15 seconds.
    """
    if not show:
        quiet = Bar(label, total, done, None)
        quiet._printed = float("inf")
        yield quiet
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bar(label, total, done, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console) as shown:
        yield Bar(label, total, done, shown)
