"""Code in a process of its own that has everything imported, so that it can be killed cheaply."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable


def in_fork(body: Callable[[], object]) -> int:
    """Run `body` in a forked process and return how it ended: 0, an exit code, or minus the signal."""
    process = fork(body)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def fork(body: Callable[[], object]) -> int:
    """Start `body` in a forked process; return its number."""
    with warnings.catch_warnings(action="ignore"):
        process = os.fork()
    if process:
        return process
    code = 1
    try:
        body()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)
