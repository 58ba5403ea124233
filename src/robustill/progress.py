"""Progress for people: a bar with an ETA in a terminal, plain lines in a log file.

Bars go to standard error, so that standard output stays clean for tables and JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from robustill.terminal import printable

_LINE_EVERY_S = 15.0
# Columns that the count, two times and the gaps take beside a label and its bar.
_BESIDE = 34


class Bar:
    """A running display; `advance` moves it, `note` changes the text behind it."""

    def __init__(self, label: str, total: int, done: int, progress: Progress | None, percent: bool = False) -> None:
        self._percent = percent
        label = printable(label)
        self._label, self._total, self._done, self._start_done = label, total, done, done
        self._progress, self._text = progress, ""
        self._task = progress.add_task(label, total=total, completed=done, note="") if progress else None
        self._began = self._printed = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        """Count `steps` units as done."""
        self._done += steps
        if self._progress is not None and self._task is not None:
            # A search takes thousands of steps a second; nobody sees more than ten.
            if time.monotonic() - self._printed > 0.1:
                self.draw()
        elif time.monotonic() - self._printed > _LINE_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._printed = time.monotonic()
        spent = self._printed - self._began
        rate = (self._done - self._start_done) / spent if spent else 0.0
        left = self._total - self._done
        eta = f"ETA {duration(left / rate)}" if rate and left else "done" if not left else "ETA unknown"
        share = f"{100 * self._done // self._total}%" if self._percent else f"{self._done}/{self._total}"
        sys.stderr.write(f"{self._label} {share} {self._text} ({eta})\n")
        sys.stderr.flush()

    def line(self, text: str) -> None:
        """Show `text` behind the bar in a terminal; elsewhere write it as a line of its own, at once."""
        if self._progress is not None:
            self.note(text)
        elif self._printed < float("inf"):
            self._text = printable(text)
            self._tell()

    def note(self, text: str) -> None:
        """Show `text` behind the bar."""
        self._text = printable(text)
        self.draw()

    def draw(self) -> None:
        """Bring the bar up to date."""
        self._printed = time.monotonic() if self._progress is not None else self._printed
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, note=self._text)


class _Noted(Progress):
    """Shows the note behind the bar, or below it where both do not stand in one line: the ETA stays."""

    def get_renderables(self) -> Iterator[RenderableType]:
        for task in self.tasks:
            table, note = self.make_tasks_table([task]), Text(task.fields["note"], no_wrap=True, overflow="ellipsis")
            if self.console.measure(table).maximum + 1 + note.cell_len <= self.console.width:
                beside = Table.grid(padding=(0, 1))
                beside.add_row(table, note)
                yield beside
            else:
                yield table
                yield note


def duration(seconds: float) -> str:
    """Return a length of time as people say it.

    >>> duration(7.2), duration(95), duration(4000)
    ('7 s', '1.6 min', '1.1 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


@contextmanager
def bar(label: str, total: int, *, done: int = 0, show: bool = True, percent: bool = False) -> Iterator[Bar]:
    """Show progress of `total` units while the block runs; `done` of them were done before.

    In a terminal this is a bar with elapsed and remaining time; elsewhere a line every 15 seconds, and those of
    `Bar.line`. With `percent`, the units are nothing that people count, and the share is shown instead.
    """
    if not show:
        quiet = Bar(label, total, done, None, percent)
        quiet._printed = float("inf")
        yield quiet
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bar(label, total, done, None, percent)
        return
    count = TaskProgressColumn() if percent else MofNCompleteColumn()
    # Names of data sets and networks are no markup.
    label_column = TextColumn("{task.description}", markup=False)
    width = max(8, min(40, console.width - cell_len(printable(label)) - _BESIDE))
    columns = (label_column, BarColumn(width), count, TimeElapsedColumn(), TimeRemainingColumn())
    with _Noted(*columns, console=console) as shown:
        running = Bar(label, total, done, shown, percent)
        yield running
        running.draw()
