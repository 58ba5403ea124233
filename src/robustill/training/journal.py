"""`metrics.jsonl`: one JSON object a line; a resumed run cuts it back to where its checkpoint stands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from robustill.writing import cannot_write


class Journal:
    """Appends lines to a file, or keeps nothing when there is no folder.

    Args:
        path: The file, or None.
        size: Bytes that are known to be good; what follows was written after the checkpoint and is cut off.

    Raises:
        WriteError: The file cannot be written.
    """

    def __init__(self, path: Path | None, size: int = 0) -> None:
        self._path, self.size = path, size
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

    def sync(self) -> None:
        """Bring what was written to the disk itself, so that no checkpoint there knows of lines that are not."""
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from error
