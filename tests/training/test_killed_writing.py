"""Killed in the middle of writing: every file under a final name is whole, and the run goes on bit-exactly."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from robustill.data import Data
from robustill.training import checkpoint
from robustill.training.checkpoint import read_checkpoint
from tests.training.forked import in_fork
from tests.training.short_run import go, left_behind


def kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does what `original` does, and kills the process when it is called so often."""
    calls = iter(range(10**6))

    def counting(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            kill()
        return original(*arguments, **named)

    return counting


def half(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `torch.save` that is killed in the middle of its fourth file."""
    calls = iter(range(10**6))

    def saving(state: Any, file: Any) -> None:
        if next(calls) == 3:
            file.write(b"PK half of it")
            file.flush()
            kill()
        original(state, file)

    return saving


INSTANTS = {
    "inside a checkpoint": lambda: setattr(torch, "save", half(torch.save)),
    "before a file gets its name": lambda: setattr(os, "replace", at_call(6, os.replace)),
    "between two names": lambda: setattr(os, "link", at_call(2, os.link)),
    "after the first name": lambda: setattr(os, "replace", at_call(7, os.replace)),
    "before a flush": lambda: setattr(os, "fsync", at_call(9, os.fsync)),
}


@pytest.mark.parametrize("instant", INSTANTS)
def test_killed_inside_writing(instant: str, tiny_data: Data, whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"

    def doomed() -> None:
        INSTANTS[instant]()
        go(tiny_data, cut)

    assert in_fork(doomed) == -signal.SIGKILL
    for path in cut.iterdir():
        if path.name in ("last.pt", "last.previous.pt"):
            read_checkpoint(path)
        elif not path.name.startswith("."):
            assert path.name in ("metrics.jsonl", "student.safetensors")
    resumed = checkpoint.has_checkpoint(cut)
    assert resumed, "the kill came too early to show anything"
    go(tiny_data, cut, resume=True)
    assert left_behind(cut) == left_behind(whole)


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path, tiny_data: Data) -> None:
    def doomed() -> None:
        torch.save = half(torch.save)
        go(tiny_data, tmp_path)

    assert in_fork(doomed) == -signal.SIGKILL
    hidden = [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    assert len(hidden) == 1
    elsewhere = tmp_path / ".last.pt.00000000-1.tmp"
    elsewhere.write_bytes(b"of a killed process of another machine")
    foreign = tmp_path / ".verdicts.safetensors.00000000-1.tmp"
    foreign.write_bytes(b"of an evaluation on another machine, perhaps alive")
    go(tiny_data, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [foreign.name]
