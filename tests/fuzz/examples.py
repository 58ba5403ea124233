"""How many inputs are tried, how valid files are damaged, and what may come out: a value, or an error for users."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from robustill.errors import RobustillError

T = TypeVar("T")

_ASKED = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def fuzzed(examples: int) -> settings:
    """Try so many inputs, the same ones each time; with FUZZ_EXAMPLES=N so many times as many, at random."""
    return settings(
        max_examples=examples * max(_ASKED, 1),
        derandomize=not _ASKED,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def ours(action: Callable[[], T]) -> T | RobustillError:
    """Return what `action` returns, or the error for users that it raises; anything else is a finding."""
    try:
        return action()
    except RobustillError as error:
        return error


def damaged(valid: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy of files like a valid one: bytes replaced, removed, inserted, the end cut off."""
    place = st.integers(0, len(valid) - 1)
    edit = st.tuples(place, st.integers(0, 8), st.binary(max_size=8))

    def apply(edits: list[tuple[int, int, bytes]], end: int) -> bytes:
        content = bytearray(valid)
        for position, removed, inserted in edits:
            content[position : position + removed] = inserted
        return bytes(content[: len(content) - end])

    cut = st.one_of(st.just(0), st.just(0), st.integers(0, len(valid)))
    return st.one_of(st.builds(apply, st.lists(edit, min_size=1, max_size=4), cut), st.binary(max_size=200))


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write a file and return where it is."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
