"""Verdicts on disk while an evaluation runs, and random starts that belong to an example."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustill.attacks.rows import State, rows, together
from robustill.errors import ModelError
from robustill.models.seal import read_sealed, save_sealed
from robustill.writing import make_folder, put_aside

# Rows of large images take a while to write: never more than a twentieth of the time.
_SAVE_EVERY_S, _REST = 10.0, 20
FALLEN = -1
_ALWAYS = frozenset(("index", "number", "x", "y", "x_adv", "fallen", "left"))


class VerdictStore:
    """Keeps how far each example got in each stage, and the rows in flight; saves them every ten seconds.

    A stage is a number of searches (or one attack). The level of an example counts those it stood; `FALLEN` ends it.

    Args:
        folder: Where `verdicts.safetensors` lives; None keeps everything in memory.
        settings: What the verdicts depend on. Verdicts on disk under other settings are put aside, not mixed in.
        total: Number of examples.
        part: Which of how many processes; each writes a file of its own and begins with what all files know.
    """

    def __init__(
        self, folder: Path | None, settings: dict[str, Any], total: int, part: tuple[int, int] = (0, 1)
    ) -> None:
        name = "verdicts" if part[1] == 1 else f"verdicts-{part[0]}of{part[1]}"
        self._folder, self._path = folder, folder / f"{name}.safetensors" if folder is not None else None
        self._settings, self._total = json.dumps(settings, sort_keys=True), total
        self.levels: dict[str, Tensor] = {}
        self.flying: dict[str, State] = {}
        self.seconds: dict[str, float] = {}
        self._saved, self._took = time.monotonic(), 0.0
        if folder is not None:
            make_folder(folder)
            for path in sorted(folder.glob("verdicts*.safetensors")):
                if ".old" not in path.name:
                    self._load(path)

    def level(self, stage: str) -> Tensor:
        """Return the levels of `stage`, int16 `[n]`, to be changed in place."""
        return self.levels.setdefault(stage, torch.zeros(self._total, dtype=torch.int16))

    def spent(self, stage: str, seconds: float) -> None:
        """Count time for a stage, and save if it is time."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        if time.monotonic() - self._saved > max(_SAVE_EVERY_S, _REST * self._took):
            self.save()

    def absorb(self, levels: dict[str, Tensor], seconds: dict[str, float]) -> None:
        """Take over what another process or file knows."""
        for stage, theirs in levels.items():
            ours = self.level(stage)
            fallen = (ours == FALLEN) | (theirs == FALLEN)
            ours.copy_(torch.where(fallen, FALLEN, torch.maximum(ours, theirs)))
        for stage, spent in seconds.items():
            # Processes work side by side.
            self.seconds[stage] = max(self.seconds.get(stage, 0.0), spent)

    def save(self) -> None:
        """Write everything atomically.

        Raises:
            WriteError: The disk is full, or the folder cannot be written; what was saved before is intact.
        """
        self._saved = time.monotonic()
        if self._path is None or not self.levels:
            return
        flying = {f"rows/{name}/{key}": v for name, state in self.flying.items() for key, v in state.items()}
        levels = {f"level/{stage}": level for stage, level in self.levels.items()}
        about = {"settings": self._settings, "seconds": json.dumps(self.seconds)}
        # Copies: rows that share their memory, or lie in another order, cannot be written.
        kept = {k: v.cpu().clone(memory_format=torch.contiguous_format) for k, v in (levels | flying).items()}
        save_sealed(kept, self._path, about)
        self._took = time.monotonic() - self._saved

    def merge(self) -> None:
        """Write one file of what this store knows, and drop the files of the processes."""
        if self._folder is None:
            return
        parts = [path for path in self._folder.glob("verdicts-*of*.safetensors") if ".old" not in path.name]
        # What a process that was killed while it wrote left behind.
        parts += self._folder.glob(".verdicts*.tmp")
        self._path = self._folder / "verdicts.safetensors"
        self.save()
        for path in parts:
            path.unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        try:
            found, about = read_sealed(path)
        except ModelError as error:
            # Another process of the same launch may have put it aside.
            if path.exists():
                _put_aside(path, error.message)
            return
        if about.get("settings") != self._settings:
            _put_aside(path)
            return
        try:
            seconds = {str(k): float(v) for k, v in json.loads(about["seconds"]).items()}
            levels, flying = _sorted(found, self._total)
            for name in flying.keys() & self.flying.keys():
                flying[name] = together(self.flying[name], flying[name])
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError, RuntimeError):
            _put_aside(path, f"{path} contradicts itself")
            return
        self.absorb(levels, seconds)
        self.flying |= flying

    def rows_of(self, name: str, own: Tensor, device: torch.device) -> State | None:
        """Return the rows of search `name` that were in flight when it was cut off, those at positions `own`."""
        state = self.flying.pop(name, None)
        if state is None:
            return None
        state = rows(state, torch.isin(state["index"], own))
        return {key: value.to(device) for key, value in state.items()} if len(state["index"]) else None


def _put_aside(path: Path, damage: str | None = None) -> None:
    """Verdicts of another model, radius or seed, or a damaged file: keep them, out of the way."""
    free = put_aside(path)
    if free is not None and damage is not None:
        sys.stderr.write(f"warning: {damage}; it is now {free.name}, and its verdicts are found again\n")


def _sorted(found: dict[str, Tensor], total: int) -> tuple[dict[str, Tensor], dict[str, State]]:
    levels: dict[str, Tensor] = {}
    flying: dict[str, State] = {}
    for name, value in found.items():
        kind, _, rest = name.partition("/")
        if kind == "level":
            levels[rest] = value
        else:
            flying.setdefault(rest.rpartition("/")[0], {})[rest.rpartition("/")[2]] = value
    fits = all(level.shape == (total,) and level.dtype == torch.int16 for level in levels.values())
    if not (fits and all(_is_whole(state, total) for state in flying.values())):
        raise ValueError
    return levels, flying


def _is_whole(state: State, total: int) -> bool:
    """Return whether rows in flight have what every search needs, for examples that there are."""
    if not state.keys() >= _ALWAYS or len({len(value) for value in state.values()}) != 1:
        return False
    index, left = state["index"], state["left"]
    plain = index.dtype == torch.int64 and index.ndim == 1 and not left.is_floating_point() and left.ndim == 1
    return plain and bool(((index >= 0) & (index < total) & (left >= 0)).all())


def example_generators(seed: int, stage: str, index: Sequence[int]) -> list[torch.Generator]:
    """Return a generator per example, seeded by (seed, stage, example): the same for any batch size or order."""
    return [torch.Generator().manual_seed(_mix(seed, stage, i)) for i in index]


def _mix(seed: int, stage: str, i: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{stage}/{i}".encode(), digest_size=8).digest(), "big") >> 1
