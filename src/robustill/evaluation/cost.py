"""What a search will cost, measured on a few steps before it starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

import torch

from robustill.attacks import Search, eval_mode
from robustill.evaluation.runner import Runner
from robustill.progress import duration

_ROWS, _STEPS, _WORTH_SAYING_S = 32, 3, 10.0


def announce(name: str, runner: Runner, stages: Mapping[str, Sequence[Search]], before: str = "clean") -> None:
    """Say how long the stages of an ensemble will take at most on what stands in `before`, if that is long."""
    standing = runner.own[runner.verdicts(before)[runner.own]]
    if not runner.progress or not len(standing):
        return
    seconds = {
        stage: sum(search.length for search in searches) * len(standing) * per_row(runner, searches[0], standing)
        for stage, searches in stages.items()
    }
    if sum(seconds.values()) < _WORTH_SAYING_S:
        return
    here = "" if len(runner.own) == len(runner.index) else " of this process"
    parts = ", ".join(f"{stage} {duration(spent)}" for stage, spent in seconds.items())
    sys.stderr.write(
        f"{name} on {len(standing)} images{here}: at most about {duration(sum(seconds.values()))} ({parts}); "
        "less as images fall\n"
    )


def per_row(runner: Runner, search: Search, at: torch.Tensor) -> float:
    """Return the seconds that one step of `search` takes per example, measured on a few of the examples `at`."""
    x, y = runner.examples(at[:_ROWS])
    view = runner.view() or runner.model
    generators = [torch.Generator().manual_seed(0) for _ in y]
    with eval_mode(view):
        state = search.begin(view, x, y, generators)
        search.advance(view, state)
        began = time.perf_counter()
        for _ in range(_STEPS):
            search.advance(view, state)
        # Reads the result back, so that the time is that of the computation and not of its launch.
        state["left"].sum().item()
    return (time.perf_counter() - began) / _STEPS / len(y)
