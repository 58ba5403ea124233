"""A live view of training: everything that `metrics.jsonl` gets is shown to trackers too, on this machine only.

The file stays the truth. Whenever a run begins or is resumed, each tracker is given the whole file anew, so that it
holds every line once, wherever the run was cut off and whoever tracked it before. A tracker that fails is left out with
one warning; none can change what is trained.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from robustill.errors import InputError, MissingExtraError, nearest
from robustill.terminal import printable
from robustill.training.checkpoint import random_state, restore_random_state
from robustill.training.track_tensorboard import TensorBoard
from robustill.training.track_trackio import Trackio


class Tracker(Protocol):
    """Where numbers go."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values of an optimizer step, counted from the start of the run."""

    def close(self) -> None:
        """Bring everything to the disk."""


TRACKERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Tracker]] = {"tensorboard": TensorBoard, "trackio": Trackio}
"""By name: what begins anew in a run folder, whose settings it is given, and is the name of the package it needs."""


class Live:
    """The trackers of one run.

    Args:
        names: Of `TRACKERS`.
        out: The run folder.
        steps: Optimizer steps of an epoch.
        settings: Of the run, for trackers that show them.
    """

    def __init__(self, names: Iterable[str], out: Path, steps: int, settings: Mapping[str, Any]) -> None:
        self._names, self._out, self._steps, self._settings = tuple(dict.fromkeys(names)), out, steps, settings
        self._trackers: dict[str, Tracker] = {}

    def begin(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Start every tracker anew, with the lines that there are already."""
        known = [(self._position(line), _numbers(line)) for line in lines]
        for name in self._names:
            self._try(name, lambda name=name: self._begin(name, known))  # type: ignore[misc]

    def _begin(self, name: str, known: list[tuple[int, dict[str, float]]]) -> None:
        self._trackers[name] = TRACKERS[name](self._out, self._settings)
        for step, values in known:
            self._trackers[name].write(step, values)

    def write(self, line: Mapping[str, Any]) -> None:
        """Show one line of the journal."""
        step, values = self._position(line), _numbers(line)
        for name, tracker in list(self._trackers.items()):
            self._try(name, lambda tracker=tracker: tracker.write(step, values))  # type: ignore[misc]

    def close(self) -> None:
        """End every tracker; a further call does nothing."""
        trackers, self._trackers = self._trackers, {}
        for name, tracker in trackers.items():
            self._try(name, tracker.close)

    def _try(self, name: str, act: Callable[[], None]) -> None:
        # Whatever a tracker draws must not move the draws of the training.
        before = random_state()
        try:
            act()
        except Exception as error:
            failed = self._trackers.pop(name, None)
            with suppress(Exception):
                if failed is not None:
                    failed.close()
            reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
            sys.stderr.write(f"warning: {name} is left out from here on, training goes on without it: {reason}\n")
        finally:
            restore_random_state(before)

    def _position(self, line: Mapping[str, Any]) -> int:
        """Return the optimizer steps of the run at a line; one at the end of an epoch names no step."""
        epoch = line["epoch"]
        return int(epoch * self._steps + line["step"] if "step" in line else (epoch + 1) * self._steps)


def check_trackers(names: Iterable[str], out: Path | None) -> None:
    """Check that a run can be tracked, before it begins.

    Args:
        names: Of trackers.
        out: The run folder, if there is one.

    Raises:
        InputError: No such tracker, or no run folder.
        MissingExtraError: Its package is not installed.

    >>> check_trackers(["tensorbord"], None)
    Traceback (most recent call last):
    robustill.errors.InputError: there is no tracker 'tensorbord'
      hint: did you mean 'tensorboard'?
    """
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"there is no tracker {name!r}", nearest(name, TRACKERS))
        if out is None:
            raise InputError("a run is tracked in its folder, and there is none", "give the run folder: out=...")
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(f"tracking needs the package {name}", 'pip install "robustill[track]"')


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line by their paths.

    >>> _numbers({"kind": "epoch", "epoch": 0, "loss": 2.5, "validation": {"clean": 0.5}, "w": [1, 2]})
    {'epoch/epoch': 1.0, 'epoch/loss': 2.5, 'epoch/validation/clean': 0.5, 'epoch/w/0': 1.0, 'epoch/w/1': 2.0}
    """
    rest = {key: value for key, value in line.items() if key not in ("kind", "step")}
    # Counted from 1, as everywhere where people read.
    return dict(_paths(str(line["kind"]), {**rest, "epoch": rest["epoch"] + 1}))


def _paths(path: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _paths(f"{path}/{key}", each)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _paths(f"{path}/{number}", each)
    elif isinstance(value, int | float):
        yield path, float(value)
