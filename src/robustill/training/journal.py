"""`metrics.jsonl`: one JSON object a line; a resumed run cuts it back to where its checkpoint stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Journal:
    """Appends lines to a file, or keeps nothing when there is no folder.

    Args:
        path: The file, or None.
        size: Bytes that are known to be good; what follows was written after the checkpoint and is cut off.
    """

    def __init__(self, path: Path | None, size: int = 0) -> None:
        self._path, self.size = path, size
        if path is not None:
            with path.open("ab") as file:
                # Never longer than it is: that would fill it up with zeros.
                self.size = min(size, file.tell())
                file.truncate(self.size)

    def write(self, kind: str, **values: Any) -> None:
        """Append one line `{"kind": kind, ...}` and push it to the file at once."""
        if self._path is None:
            return
        line = (json.dumps({"kind": kind, **values}) + "\n").encode()
        with self._path.open("ab") as file:
            file.write(line)
        self.size += len(line)
