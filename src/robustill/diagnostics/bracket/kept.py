"""Results per example on disk while a bracket is found."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustill.errors import CheckpointError, RobustillError

# Writing takes a twentieth of the time at most.
_REST = 20


class Kept:
    """What is known of each example after each stage; `save` writes one file, atomically.

    Args:
        path: The file; None keeps everything in memory.
        settings: What the results depend on.
        total: Number of examples.

    Raises:
        CheckpointError: The file holds results of other settings, or is damaged.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], total: int) -> None:
        self.path, self.total = path, total
        self._settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self._values: dict[str, Tensor] = {}
        self.seconds: dict[str, float] = {}
        self._saved, self._took = 0.0, 0.0
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                message = f"cannot create the folder {path.parent}: {error.strerror}"
                raise RobustillError(message, "choose another --out") from error
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
        if self.path is None:
            return
        from safetensors.torch import save_file

        began = time.monotonic()
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        about = {"settings": json.dumps(self._settings, sort_keys=True), "seconds": json.dumps(self.seconds)}
        save_file(self._values, temporary, metadata=about)
        os.replace(temporary, self.path)
        self._saved = time.monotonic()
        self._took = self._saved - began

    def _load(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                before = dict(json.loads(about["settings"]))
                self.seconds = {str(k): float(v) for k, v in json.loads(about["seconds"]).items()}
                self._values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} cannot be read", "delete it, or choose another --out") from error
        other = [
            _difference(key, before.get(key), now) for key, now in self._settings.items() if before.get(key) != now
        ]
        if other or any(len(value) != self.total for value in self._values.values()):
            raise CheckpointError(
                f"{path} holds results of other settings: {'; '.join(other) or 'another number of images'}",
                "repeat the call without changes, choose another --out, or delete the file",
            )


def _difference(key: str, then: Any, now: Any) -> str:
    # A digest in full helps nobody.
    old, new = (str(value)[:12] for value in (then, now))
    return f"{key}: {old} then, {new} now"
