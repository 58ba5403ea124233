"""Which rows of a batch this process has, where several processes learn or judge one batch together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Rows `start` to `stop` of a batch of `total` rows, which `processes` processes have together.

    Either their shares are disjoint and make up the batch, or, where it has fewer rows than there are processes, each
    has all of it.

    >>> Share(0, 3, 5, 2).weight, Share(0, 1, 1, 2).weight
    (0.6, 0.5)
    """

    start: int
    stop: int
    total: int
    processes: int

    @property
    def rows(self) -> int:
        """How many rows these are."""
        return self.stop - self.start

    @property
    def repeated(self) -> bool:
        """Whether every process has all rows."""
        return self.processes > 1 and self.rows == self.total

    @property
    def weight(self) -> float:
        """How much the mean over these rows counts in the batch's; over the processes these add up to 1."""
        return 1 / self.processes if self.repeated else self.rows / self.total

    @property
    def counted(self) -> float:
        """How often each of these rows counts in a sum over the processes: less than once where all have it."""
        return 1 / self.processes if self.repeated else 1.0


_current: ContextVar[Share | None] = ContextVar("share", default=None)


def current_share() -> Share | None:
    """Return what the batch at hand is a share of; None where it is the whole batch."""
    return _current.get()


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Say, for the block, that the batch at hand is this share of one."""
    token = _current.set(share)
    try:
        yield
    finally:
        _current.reset(token)
