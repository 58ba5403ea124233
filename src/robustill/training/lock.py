"""A lock on a run folder: one process writes into it at a time, everybody may read."""

from __future__ import annotations

import errno
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from robustill.errors import CheckpointError
from robustill.writing import cannot_write, is_running, make_folder, remove_leftovers

_BUSY = frozenset((errno.EACCES, errno.EAGAIN, errno.EDEADLK))
# Where Windows locks: behind what the file says, which others may then read.
_FAR = 1 << 20
_OF_TRAINING = ("recipe.toml", "last.pt", "student.safetensors", "student_last.safetensors")
_HELD: dict[tuple[Path, int], tuple[int, int]] = {}


class BusyError(CheckpointError):
    """Another process works in a folder."""

    passing = True


@contextmanager
def hold(folder: Path, what: str = "training") -> Iterator[None]:
    """Be the only process that does `what` in `folder` while the block runs; the folder is created.

    The operating system releases the lock however the process ends, so a killed one leaves nothing that stands in the
    way. The same thread may hold it twice. Of processes that a launcher started together, the first one holds it.

    Raises:
        BusyError: Another process holds it; says which.
        WriteError: The folder cannot be created or written.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    created = not folder.exists()
    make_folder(folder)
    path = folder.resolve() / f".{what}.lock"
    key, thread = (path, os.getpid()), threading.get_ident()
    count, owner = _HELD.get(key, (0, thread))
    if owner != thread:
        raise _busy(folder, what, f"{os.getpid()} {platform.node()}", "")
    if count:
        _HELD[key] = (count + 1, thread)
        try:
            yield
        finally:
            _HELD[key] = (count, thread)
        return
    _HELD[key] = (1, thread)
    try:
        with _locked(path, folder, what):
            if what == "training":
                for name in _OF_TRAINING:
                    remove_leftovers(folder, name, of_others=True)
            yield
    finally:
        del _HELD[key]
        if created:
            # What failed before it wrote anything leaves nothing; a folder with content stays.
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _locked(path: Path, folder: Path, what: str) -> Iterator[None]:
    try:
        descriptor = _take(path, folder, what)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        # Before the lock goes with the descriptor: whoever opened the file meanwhile sees that its name is gone.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _take(path: Path, folder: Path, what: str) -> int:
    while True:
        try:
            descriptor, fresh = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            try:
                descriptor, fresh = os.open(path, os.O_RDWR), False
            except FileNotFoundError:
                continue
        try:
            holder = os.read(descriptor, 200).decode("utf-8", "replace")
            try:
                _lock(descriptor)
            except OSError as error:
                # Where the file system knows no locks, the file's presence is the lock.
                if error.errno in _BUSY or not (fresh or _is_gone(holder)):
                    hint = "" if error.errno in _BUSY else f"; if that process is gone, delete {path}"
                    raise _busy(folder, what, holder, hint) from None
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, f"{os.getpid()} {platform.node()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take an exclusive lock without waiting; unlike one of `flock`, forked loader processes do not inherit it."""
    if os.name == "nt":
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether a file still has its name; the one who held it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _is_gone(holder: str) -> bool:
    process, _, machine = holder.strip().partition(" ")
    return machine == platform.node() and process.isdecimal() and not is_running(int(process))


def _busy(folder: Path, what: str, holder: str, hint: str) -> BusyError:
    process, _, machine = holder.strip().partition(" ")
    who = f"process {process} on {machine}" if process.isdecimal() and machine else "another process"
    return BusyError(
        f"{what} is under way in {folder} already ({who})", f"wait for it to end, or choose another --out{hint}"
    )
