"""`metrics.jsonl`: one JSON object a line; a resumed run cuts it back to where its checkpoint stands."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.writing import cannot_write

if TYPE_CHECKING:
    from robustill.training.track import Live


class Journal:
    """Appends lines to a file, or keeps nothing when there is no folder.

    Args:
        path: The file, or None.
        size: Bytes that are known to be good; what follows was written after the checkpoint and is cut off.
        live: Is shown every line as well, those that are there first.

    Raises:
        WriteError: The file cannot be written.
    """

    def __init__(self, path: Path | None, size: int = 0, live: Live | None = None) -> None:
        self._path, self.size, self._live = path, size, live
        if path is not None:
            try:
                with path.open("ab") as file:
                    # Never longer than it is: that would fill it up with zeros.
                    self.size = min(size, file.tell())
                    file.truncate(self.size)
            except OSError as error:
                raise cannot_write(path, error) from error
            if self.size < size:
                lost = size - self.size
                sys.stderr.write(f"warning: {path} lacks {lost} bytes that the checkpoint knows of; it goes on there\n")
            if live is not None:
                live.begin(_whole_lines(path))

    def write(self, kind: str, **values: Any) -> None:
        """Append one line `{"kind": kind, ...}` and push it to the file at once."""
        if self._path is None:
            return
        line = (json.dumps({"kind": kind, **values}) + "\n").encode()
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.size += len(line)
        if self._live is not None:
            self._live.write({"kind": kind, **values})

    def sync(self) -> None:
        """Bring what was written to the disk itself, so that no checkpoint there knows of lines that are not."""
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from error


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return what can be read; a file that somebody has touched is no reason to stop."""
    found = []
    for line in path.read_bytes().splitlines():
        with suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict) and {"kind", "epoch"} <= line.keys()]
