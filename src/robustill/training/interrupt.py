"""Ctrl-C and termination, taken at the next step boundary, where nothing is half done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A launcher passes on what the terminal has sent to its processes already: the same wish, a moment later.
_ECHO_S = 1.0


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop and has saved what it could; the message says how to go on.

    >>> try:
    ...     raise Interrupted("stopped at epoch 2, step 7")
    ... except KeyboardInterrupt as error:
    ...     print(error)
    stopped at epoch 2, step 7
    """


class StopRequest:
    """Becomes true when a signal has arrived."""

    def __init__(self) -> None:
        self.requested = False
        self.since = 0.0

    def __bool__(self) -> bool:
        return self.requested


@contextmanager
def stop_requests(*, launched: bool = False) -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; a second one acts at once.

    Where a launcher started this process (`launched`), one that follows within a second is its echo of the first.
    Outside the main thread signals cannot be handled, and the request stays false.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        if not request.requested:
            request.requested, request.since = True, time.monotonic()
            if not launched:
                restore()
        elif time.monotonic() - request.since > _ECHO_S:
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()
