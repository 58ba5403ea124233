"""Checkpoints: one file of tensors and plain containers, written atomically, read without executing anything."""

from __future__ import annotations

import os
import pickle
import random
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from robustill.errors import CheckpointError

FORMAT = 2


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` so that `path` always holds a whole checkpoint, the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint`.

    Raises:
        CheckpointError: No such file, damaged, of another format, or holding anything but tensors and containers.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}", "start the run without --resume")
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds objects other than tensors and plain containers; refusing to load it",
            "only checkpoints that robustill wrote can be resumed",
        ) from error
    # A damaged or hostile file may raise anything.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            f"{path} is damaged: {type(error).__name__}: {reason}", "restore it or start anew"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a robustill checkpoint of format {FORMAT}")
    return state


def random_state() -> dict[str, Any]:
    """Return the state of every global generator, as tensors and plain containers."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = cast("tuple[str, Any, int, int, float]", np.random.get_state(legacy=True))
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every global generator back to a state from `random_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
