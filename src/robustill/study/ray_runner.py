"""Cells as tasks of a Ray cluster; every node sees the study's folder under the same path."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustill.errors import MissingExtraError, RobustillError
from robustill.plugins import handing_on
from robustill.study.local import environment_of, start
from robustill.study.table import Resources

_POLL_S = 0.1
_LEAVE_S = 120.0
_REACH_S = 10.0
_KILLED = -9


def run_in_worker(folder: str, working: str, resources: dict[str, Any], own: Sequence[str]) -> int:
    """Run a cell's process beside a Ray worker and return its exit code; a cancelled task stops it."""
    os.chdir(working)
    wanted = Resources.model_validate(resources)
    process = start(Path(folder), environment_of(wanted), own)
    try:
        while process.poll() is None:
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        return process.wait(_LEAVE_S)
    finally:
        if process.poll() is None:
            process.kill()
    return process.returncode


def _reach(address: str) -> None:
    """Raise `RobustillError` unless something listens at HOST:PORT; Ray itself would try for minutes."""
    place = re.fullmatch(r"(?:ray://)?(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})", address)
    if place is None:
        return
    host, port = place[1] or place[2], int(place[3])
    try:
        socket.create_connection((host, port), timeout=_REACH_S).close()
    except (OSError, OverflowError) as error:
        raise RobustillError(
            f"--ray {address}: {host} does not answer at port {port} ({error})",
            "`ray start --head` on the cluster's first machine says its address; check firewalls in between",
        ) from error


class Ray:
    """The same calls as `Local`, on a cluster that places the cells by what they take.

    Args:
        address: `"auto"` for the cluster this machine belongs to, `"local"` for one of its own, or an address.

    Raises:
        MissingExtraError: Ray is not installed.
        RobustillError: There is no such cluster.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("--ray needs Ray", "pip install 'robustill[ray]'") from error
        _reach(address)
        self._ray: Any = ray
        self._tasks: dict[str, Any] = {}
        self._owned = not ray.is_initialized()
        # A cluster of one's own reports to nobody unless it is asked to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(
                address=None if address == "local" else address, ignore_reinit_error=True, log_to_driver=False,
                logging_level="warning", include_dashboard=False if address == "local" else None,
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            hint = "start one with `ray start --head`, or give --ray local"
            raise RobustillError(f"--ray {address}: {reason}", hint) from error

    def check(self, resources: Resources, name: str) -> None:
        """A cluster may grow: nothing that a cell wants is too much."""

    def fits(self, resources: Resources) -> bool:
        """Ray queues what does not fit."""
        return True

    def start(self, key: str, folder: Path, resources: Resources) -> None:
        """Hand the cell `key` to the cluster."""
        wants = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, "memory": int(resources.memory_gb * 2**30)}
        task = self._ray.remote(run_in_worker).options(
            max_retries=0, name=folder.name, **{name: value for name, value in wants.items() if value}
        )
        self._tasks[key] = task.remote(str(folder), str(Path.cwd()), resources.model_dump(), handing_on())

    def wait(self, seconds: float) -> list[tuple[str, int]]:
        """Return the cells that have ended with their exit codes, as soon as one has, or after `seconds`."""
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks.values()), timeout=seconds)
        ended = [key for key, task in self._tasks.items() if task in ready]
        return [(key, self._code(self._tasks.pop(key))) for key in ended]

    def stop(self, *, at_once: bool) -> None:
        """Ask the running cells to save themselves and end, or end them at once; queued ones do not start."""
        for task in self._tasks.values():
            self._ray.cancel(task, force=at_once)

    def close(self) -> None:
        """Leave the cluster."""
        if self._owned:
            self._ray.shutdown()

    def _code(self, task: Any) -> int:
        try:
            return int(self._ray.get(task))
        # The worker or its node died, or the task was cancelled before it began.
        except self._ray.exceptions.RayError:
            return _KILLED
