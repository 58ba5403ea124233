"""Checkpoints: one file of tensors and plain containers with a checksum, written atomically, read without executing.

The one before is kept, for the case that the newest is damaged.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from robustill.errors import CheckpointError
from robustill.writing import cannot_write, replacing

FORMAT = 3
# Format 2 had no checksum.
_READ = (2, FORMAT)
# A checkpoint ends with these bytes and the SHA-256 of everything before them.
_MARK = b"robustill-sha256"
_CHUNK = 1 << 20


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that is not what was written."""


def previous_of(path: Path) -> Path:
    """Return where the checkpoint before `path` is kept: `last.previous.pt`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run folder holds a checkpoint to go on from."""
    path = folder / "last.pt"
    return path.exists() or previous_of(path).exists()


def settings_then(folder: Path) -> Mapping[str, Any] | None:
    """Return the settings of the run whose checkpoint is in `folder`; None where none can be read."""
    return _then(folder, "settings")


def digests_then(folder: Path) -> Mapping[str, str] | None:
    """Return the digests of data and teachers that the checkpoint in `folder` notes; None where none can be read."""
    return _then(folder, "digests")


def _then(folder: Path, key: str) -> Mapping[str, Any] | None:
    path = folder / "last.pt"
    for file in (path, previous_of(path)):
        try:
            found = read_checkpoint(file).get(key)
        except CheckpointError:
            continue
        return found if isinstance(found, Mapping) else None
    return None


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` so that `path` always holds a whole checkpoint, the old one or the new one; the old one is kept.

    Raises:
        WriteError: The disk is full, or the folder cannot be written; the old checkpoint stays.
    """
    with replacing(path) as file:
        hashed = _Hashed(file)
        try:
            torch.save({"format": FORMAT, **state}, cast("BinaryIO", hashed))
        except Exception:
            # PyTorch turns what a file raises into errors of its own.
            if hashed.failure is not None:
                raise hashed.failure from None
            raise
        file.write(_MARK + hashed.digest.digest())
        file.flush()
        os.fsync(file.fileno())
        _keep(path)


def _keep(path: Path) -> None:
    """Give the checkpoint at `path` a second name; it stays there until it is replaced."""
    if not path.exists():
        return
    previous = previous_of(path)
    link = path.with_name(f".{previous.name}.link")
    try:
        link.unlink(missing_ok=True)
        try:
            os.link(path, link)
        except OSError:
            # A file system without links: for a moment there is only the previous one, which serves as well.
            os.replace(path, previous)
        else:
            os.replace(link, previous)
    except OSError as error:
        raise cannot_write(previous, error) from error
    finally:
        # Replacing a name by another of the same file leaves both.
        with suppress(OSError):
            link.unlink(missing_ok=True)


class _Hashed:
    """A file to write into that knows the digest of what went through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            written = self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.digest.update(data)
        return written

    def flush(self) -> None:
        self._file.flush()


def newest_checkpoint(path: Path) -> dict[str, Any]:
    """Read the checkpoint at `path` or, where that is damaged or missing, the one before; says so on standard error.

    A damaged file is put aside as `last.damaged.pt`, so that it is not taken for a good one later.

    Raises:
        CheckpointError: As `read_checkpoint`, of the newest one, where there is no other.
    """
    previous = previous_of(path)
    try:
        return read_checkpoint(path)
    except DamagedCheckpointError as error:
        damage: CheckpointError = error
    except CheckpointError as error:
        if path.exists() or not previous.exists():
            raise
        damage = error
    try:
        state = read_checkpoint(previous)
    except CheckpointError:
        raise damage from None
    kept = ""
    if path.exists():
        aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
        # Several processes may find the same damage at once.
        with suppress(FileNotFoundError):
            os.replace(path, aside)
        kept = f"; the damaged file is now {aside.name}"
    where = f"of epoch {state.get('epoch', 0) + 1}, step {state.get('step', 0)}"
    sys.stderr.write(f"warning: {damage.message}; going on from {previous.name}, {where}{kept}\n")
    return state


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint`.

    Raises:
        CheckpointError: No such file, damaged, of another format, or holding anything but tensors and containers.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}", "start the run without --resume")
    checked = _checked(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DamagedCheckpointError(
            f"{path} is damaged, or holds objects other than tensors and plain containers; refusing to load it",
            "only checkpoints that robustill wrote can be resumed",
        ) from error
    # A damaged or hostile file may raise anything.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DamagedCheckpointError(
            f"{path} is damaged: {type(error).__name__}: {reason}", "restore it or start anew"
        ) from error
    if not isinstance(state, dict) or state.get("format") not in _READ:
        raise CheckpointError(
            f"{path} is not a robustill checkpoint of format {FORMAT}",
            "resume it with the version of robustill that wrote it, or start anew",
        )
    if not checked and state["format"] == FORMAT:
        raise DamagedCheckpointError(f"{path} is damaged: its checksum is missing", "restore it or start anew")
    return state


def _checked(path: Path) -> bool:
    """Compare a checkpoint with its checksum; return whether it has one.

    Raises:
        CheckpointError: They differ, or the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            left = path.stat().st_size - len(_MARK) - digest.digest_size
            while left > 0 and (block := file.read(min(left, _CHUNK))):
                digest.update(block)
                left -= len(block)
            end = file.read()
    except OSError as error:
        raise DamagedCheckpointError(f"{path} cannot be read: {error.strerror}", "restore it or start anew") from error
    if not end.startswith(_MARK):
        return False
    if end != _MARK + digest.digest():
        raise DamagedCheckpointError(
            f"{path} is damaged: its checksum does not fit its content", "restore it or start anew"
        )
    return True


def random_state(*, cuda: bool = True) -> dict[str, Any]:
    """Return the state of every global generator, as tensors and plain containers; GPUs' only with `cuda`."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = cast("tuple[str, Any, int, int, float]", np.random.get_state(legacy=True))
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda and torch.cuda.is_available() else [],
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


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give every global generator its state back after the block, also after an error in it.

    A GPU that is first used inside the block draws on as it would have from the caller's seed: asking for its state
    before would start all GPUs.
    """
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    state = random_state(cuda=used)
    try:
        yield
    finally:
        restore_random_state(state)
        if not used and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(torch.initial_seed())
