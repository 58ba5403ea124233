"""Trackio's local database, written directly: its client would ask the network who is training."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.terminal import printable

_PROJECT, _EVERY_S = "robustill", 2.0


class Trackio:
    """One run of the project `robustill`, in the folder `TRACKIO_DIR`; beside the run folder where that is not set.

    Trackio looks at that variable once per process.

    Args:
        out: The run folder; its path is the run's identity, and what the database knows of it is removed.
        settings: Of the run.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        place = out.resolve()
        os.environ.setdefault("TRACKIO_DIR", str(place.parent / "trackio"))
        from trackio.sqlite_storage import SQLiteStorage

        self._storage: Any = SQLiteStorage
        self._name, self._settings = printable(place.name), dict(settings)
        self._id = hashlib.blake2b(os.fsencode(place), digest_size=16).hexdigest()
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._written = 0.0
        self._storage.delete_run(_PROJECT, self._name, run_id=self._id)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values of a step; every two seconds they go to the database together."""
        self._rows.append((step, dict(values)))
        # A transaction takes as long as a small training step.
        if time.monotonic() - self._written > _EVERY_S:
            self._flush()

    def close(self) -> None:
        """Bring what waits to the database."""
        self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            steps, values = (list(column) for column in zip(*rows, strict=True))
            self._storage.bulk_log(
                _PROJECT, self._name, values, steps=steps, config=self._settings or None, run_id=self._id
            )
        self._settings = {}
        self._written = time.monotonic()
