"""Files that appear whole or not at all, and errors that say why one could not be written."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from robustill.errors import RobustillError

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_FORBIDDEN = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.EEXIST))
_MACHINE = hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)\.tmp")


class WriteError(RobustillError):
    """A file or folder cannot be written; what was there before is as it was."""

    passing = True


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file whose content takes the place of `path` when the block ends without an error.

    At every instant `path` is what it was or the whole new file, also after a crash of the machine. Temporary files
    that killed processes of this machine left beside `path` are removed.

    Raises:
        WriteError: The disk is full, or the folder is not there or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{_MACHINE}-{os.getpid()}.tmp")
    try:
        remove_leftovers(path.parent, path.name)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_whole(path: Path, parts: Iterable[bytes | memoryview]) -> str:
    """Write a file of these parts at once; return the SHA-256 of its bytes, 64 hexadecimal digits.

    Raises:
        WriteError: As `replacing`.
    """
    digest = hashlib.sha256()
    with replacing(path) as file:
        for part in parts:
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def as_json(value: Any) -> str:
    r"""Return indented JSON with a line break at its end; numbers that are none, which JSON does not know, are null.

    >>> as_json([float("nan"), 1.0])
    '[\n  null,\n  1.0\n]\n'
    """
    return json.dumps(_known(value), indent=2, allow_nan=False) + "\n"


def write_json(value: Any, path: Path) -> None:
    """Write a file of `as_json` at once.

    Raises:
        WriteError: As `replacing`.
    """
    write_whole(path, [as_json(value).encode()])


def put_aside(path: Path) -> Path | None:
    """Rename a file to the first free one of NAME.old, NAME.old2 ..., endings kept; None: another process was first."""
    names = ("old", *(f"old{k}" for k in range(2, 1000)))
    free = next(each for name in names if not (each := path.with_name(f"{path.stem}.{name}{path.suffix}")).exists())
    try:
        os.replace(path, free)
    except FileNotFoundError:
        return None
    return free


def make_folder(folder: Path) -> None:
    """Create a folder, and those it lies in.

    Raises:
        WriteError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot create the folder {folder}: {error.strerror}", "choose another --out") from error


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Return the error that says why `path` could not be written and what to do."""
    if error.errno in _FULL:
        hint = "make room; what was saved before is intact, and the command goes on from there (train: with --resume)"
    elif error.errno in _FORBIDDEN:
        hint = "choose another --out, or make the folder writable"
    else:
        hint = "check the disk; what was saved before is intact"
    return WriteError(f"cannot write {path}: {error.strerror or error}", hint)


def remove_leftovers(folder: Path, name: str | None = None, *, of_others: bool = False) -> None:
    """Remove temporary files of processes that are gone.

    Args:
        folder: Where to look.
        name: Only those of this file; None: of any.
        of_others: Also those of other machines, of which nobody knows whether they still run; for whoever holds the
            folder's lock.
    """
    for entry in list(os.scandir(folder)):
        found = _TEMPORARY.fullmatch(entry.name)
        if found is None or name not in (None, found["name"]):
            continue
        own = found["machine"] == _MACHINE
        if (own and not is_running(int(found["process"]))) or (of_others and not own):
            with suppress(OSError):
                os.unlink(entry.path)


def is_running(process: int) -> bool:
    """Return whether a process of this machine is alive; where that cannot be asked, whether it is this one."""
    if os.name != "posix" or process == os.getpid():
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _known(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a crash of the machine, where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
