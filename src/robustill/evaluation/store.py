"""Verdicts on disk while an evaluation runs, and random starts that belong to an example."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_SAVE_EVERY_S = 10.0
_FILE = "verdicts.safetensors"


class VerdictStore:
    """Keeps the verdicts of each stage in order; saves them every ten seconds and at the end of a stage.

    Args:
        folder: Where `verdicts.safetensors` lives; None keeps everything in memory.
        settings: What the verdicts depend on. Verdicts on disk under other settings are put aside, not mixed in.
        total: Number of examples.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any], total: int) -> None:
        self._path = folder / _FILE if folder is not None else None
        self._settings, self._total = json.dumps(settings, sort_keys=True), total
        self._parts: dict[str, list[Tensor]] = {}
        self.seconds: dict[str, float] = {}
        self._saved = time.monotonic()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._load()

    def done(self, stage: str) -> int:
        """Return how many examples of `stage` have a verdict."""
        return sum(len(part) for part in self._parts.get(stage, []))

    def verdicts(self, stage: str) -> Tensor:
        """Return the verdicts of `stage` so far, bool `[done]`."""
        return torch.cat([torch.zeros(0, dtype=torch.bool), *self._parts.get(stage, [])])

    def add(self, stage: str, right: Tensor, seconds: float) -> None:
        """Append verdicts `[B]` of the next examples."""
        self._parts.setdefault(stage, []).append(right.cpu())
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write all verdicts atomically."""
        self._saved = time.monotonic()
        if self._path is None or not self._parts:
            return
        from safetensors.torch import save_file

        temporary = self._path.with_name(f".{_FILE}.{os.getpid()}.tmp")
        about = {"settings": self._settings, "seconds": json.dumps(self.seconds)}
        save_file({name: self.verdicts(name) for name in self._parts}, temporary, metadata=about)
        os.replace(temporary, self._path)

    def _load(self) -> None:
        if self._path is None or not self._path.exists():
            return
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path, framework="pt") as file:
                about = file.metadata() or {}
                parts = {name: [file.get_tensor(name).bool()] for name in file.keys()}  # noqa: SIM118
            same = about.get("settings") == self._settings
            fits = all(part[0].dim() == 1 and len(part[0]) <= self._total for part in parts.values())
            if not (same and fits):
                raise ValueError
            self.seconds = {str(k): float(v) for k, v in json.loads(about["seconds"]).items()}
            self._parts = parts
        except (SafetensorError, OSError, ValueError, KeyError, AttributeError):
            # Verdicts of another model, radius or seed, or a damaged file: keep them, out of the way.
            os.replace(self._path, self._path.with_name(f"{self._path.stem}.old.safetensors"))


def example_generators(seed: int, stage: str, index: Sequence[int]) -> list[torch.Generator]:
    """Return a generator per example, seeded by (seed, stage, example): the same for any batch size or order."""
    return [torch.Generator().manual_seed(_mix(seed, stage, i)) for i in index]


def _mix(seed: int, stage: str, i: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{stage}/{i}".encode(), digest_size=8).digest(), "big") >> 1
