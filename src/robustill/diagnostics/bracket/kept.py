"""Results per example on disk while a bracket is found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustill.errors import CheckpointError, ModelError
from robustill.models.seal import read_sealed, save_sealed
from robustill.writing import make_folder

# Writing takes a twentieth of the time at most.
_REST = 20


class Kept:
    """What is known of each example after each stage; `save` writes one file, atomically.

    Args:
        path: The file; None keeps everything in memory.
        settings: What the results depend on.
        total: Number of examples.
        writes: Whether this process writes the file; of several, one does.

    Raises:
        CheckpointError: The file holds results of other settings, or is damaged.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], total: int, *, writes: bool = True) -> None:
        self.path, self.total, self._writes = path, total, writes
        self._settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self._values: dict[str, Tensor] = {}
        self.seconds: dict[str, float] = {}
        self._saved, self._took = 0.0, 0.0
        if path is not None:
            make_folder(path.parent)
            if path.exists():
                self._load(path)

    def missing(self, stage: str) -> Tensor:
        """Return which examples have no result of `stage` yet, bool `[n]`."""
        done = self._values.get(f"{stage}/done")
        return torch.ones(self.total, dtype=torch.bool) if done is None else ~done

    def put(self, stage: str, at: Tensor, values: Mapping[str, Tensor], seconds: float) -> None:
        """Keep the values `[k]` of the examples `at`, and save if that is quick."""
        for name, value in {**values, "done": torch.ones(len(at), dtype=torch.bool)}.items():
            key, value = f"{stage}/{name}", value.detach().cpu()
            if key not in self._values:
                self._values[key] = torch.zeros(self.total, *value.shape[1:], dtype=value.dtype)
            self._values[key][at] = value
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        if time.monotonic() - self._saved > _REST * self._took:
            self.save()

    def get(self, stage: str, name: str) -> Tensor:
        """Return a value of every example, `[n]`."""
        return self._values[f"{stage}/{name}"]

    def spent(self, stages: Iterable[str]) -> dict[str, float]:
        """Return the seconds of some stages; the file may know others."""
        return {stage: self.seconds.get(stage, 0.0) for stage in stages}

    def save(self) -> None:
        """Write everything."""
        if self.path is None or not self._writes:
            return
        began = time.monotonic()
        about = {"settings": json.dumps(self._settings, sort_keys=True), "seconds": json.dumps(self.seconds)}
        save_sealed(self._values, self.path, about)
        self._saved = time.monotonic()
        self._took = self._saved - began

    def _load(self, path: Path) -> None:
        try:
            self._values, about = read_sealed(path)
            before = dict(json.loads(about["settings"]))
            self.seconds = {str(k): float(v) for k, v in json.loads(about["seconds"]).items()}
        except ModelError as error:
            reason = error.message.removeprefix(f"{path} ")
            raise CheckpointError(
                f"{path} cannot be read: it {reason}", "delete it, or choose another --out"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read", "delete it, or choose another --out") from error
        other = [
            _difference(key, before.get(key), now) for key, now in self._settings.items() if before.get(key) != now
        ]
        if other or any(value.shape[:1] != (self.total,) for value in self._values.values()):
            raise CheckpointError(
                f"{path} holds results of other settings: {'; '.join(other) or 'another number of images'}",
                "repeat the call without changes, choose another --out, or delete the file",
            )


def _difference(key: str, then: Any, now: Any) -> str:
    # A digest in full helps nobody.
    old, new = (str(value)[:12] for value in (then, now))
    return f"{key}: {old} then, {new} now"
