"""Verdicts on single images, from what an evaluation stores beside its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.report.page.folder import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Right = NDArray[np.bool_]

_CHAIN = "~"


@dataclass(frozen=True)
class Verdicts:
    """Where predictions stay right.

    Args:
        right: For "clean" and each attack, bool `[n]`.
        images: Which images these are; equal for runs that were asked the same ones.
        threat: Norm and radius.
        split: Digest of the split that they are of; None in files of early versions.
    """

    right: dict[str, Right]
    images: tuple[Any, ...]
    threat: tuple[Any, ...]
    split: str | None = None

    def of_same_images(self, other: Verdicts) -> bool:
        """Return whether both are of the same images, whatever the networks were trained on."""
        known = self.split is not None and self.split == other.split
        return self.images[1:] == other.images[1:] and (known or self.images[0] == other.images[0])

    def worst(self, attacks: list[str]) -> Right:
        """Return where the prediction is right without an attack and under all of these."""
        return _everywhere([self.right[name] for name in ("clean", *attacks)])


def read_verdicts(run: Run) -> Verdicts | str:
    """Return the verdicts that a run's `evaluation.json` counts, or why there are none that can be used."""
    evaluation = run.content("evaluation")
    if evaluation is None:
        return f"{run.name} has not been evaluated"
    path = run.files["evaluation"].path.with_name("verdicts.safetensors")
    if not path.exists():
        return f"{run.name} has no verdicts.safetensors"
    try:
        tensors, settings = _read(path)
    except Exception as error:
        # The library raises many kinds for a damaged file; a comparison that is left out says so.
        return f"{path} cannot be read: {(str(error).splitlines() or [type(error).__name__])[0][:200]}"
    wanted = {"clean": evaluation["clean"]} | evaluation["attacks"]
    origin = str(evaluation.get("transfer_from", ""))[:12]
    right = {name: _verdicts(tensors, f"{name}/{origin}" if _transferred(name, origin) else name) for name in wanted}
    for name, entry in wanted.items():
        own = right[name]
        fits = own is not None and len(own) == evaluation["images"] and abs(own.mean() - entry["accuracy"]) < 1e-9
        if not fits:
            return f"{path} does not hold the verdicts that evaluation.json counts for {name}"
    images = (evaluation.get("data_digest"), evaluation.get("split"), evaluation["images"], settings.get("index"))
    threat = (evaluation["threat"]["norm"], evaluation["threat"]["eps"])
    known = {name: own for name, own in right.items() if own is not None}
    return Verdicts(known, images, threat, evaluation.get("split_digest"))


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith("rows/")}  # noqa: SIM118
        settings = json.loads((file.metadata() or {}).get("settings", "{}"))
    return tensors, settings if isinstance(settings, dict) else {}


def _verdicts(tensors: dict[str, NDArray[Any]], name: str) -> Right | None:
    """Return where all stages of an attack were stood; files before format 2 hold the verdicts themselves."""
    if name in tensors and tensors[name].dtype == bool and tensors[name].ndim == 1:
        return tensors[name]
    own = f"level/{name}"
    stages = [
        level > 0
        for key, level in tensors.items()
        if (key == own or key.startswith(f"{own}/")) and _CHAIN not in key and level.ndim == 1
    ]
    if not stages or len({len(stage) for stage in stages}) > 1:
        return None
    return _everywhere(stages)


def _transferred(name: str, origin: str) -> bool:
    """Return whether an attack was made on another network, of several that the file may hold."""
    return bool(origin) and name.startswith("transfer-")


def _everywhere(columns: Sequence[Right]) -> Right:
    import numpy as np

    return np.asarray(np.stack(columns).all(axis=0), dtype=np.bool_)
