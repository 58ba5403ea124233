"""Robust overfitting of a run: how far robust accuracy falls after its best epoch, and what is memorised meanwhile."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustill.errors import CheckpointError, InputError
from robustill.writing import write_json

_FILE = "diagnostics.json"


def robust_overfitting(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the course of robust accuracy over a run, and the gap between its best and its last epoch.

    Args:
        history: One dictionary per epoch, as `TrainResult.history` or the epochs of `metrics.jsonl`; epochs that were
            not judged are left out. What `training.overfitting` measured on training images is in it if it was on.

    Returns:
        `epochs` (from 0), `validation` and, by group, `train`: lists of `clean` and `robust` accuracies; `best` and
        `last`: epoch and robust accuracy; `gap`: best less last; `noise`: half of the 95% interval of a difference of
        two such accuracies, as if on different images, None where their number is not known; `rise`: by group, robust
        accuracy on training images at the end less that at the best epoch. The best of many is lucky: a gap within the
        noise says nothing.

    Raises:
        InputError: No epoch was judged on robust accuracy.

    >>> history = [{"epoch": k, "validation": {"clean": 0.75, "robust": r}} for k, r in enumerate((0.25, 0.5, 0.375))]
    >>> robust_overfitting(history)["gap"]
    0.125
    """
    judged = [line for line in history if "robust" in line.get("validation", {})]
    if not judged:
        raise InputError("no epoch was judged on robust accuracy", "hold out a validation split and set selection.eps")
    robust = [line["validation"]["robust"] for line in judged]
    at = robust.index(max(robust))
    watched = [line["overfitting"] for line in judged if "overfitting" in line]
    if len(watched) not in (0, len(judged)):
        raise InputError("training images were judged in some epochs only: these are lines of several runs")
    count = watched[0]["validation_images"] if watched else None
    train = {
        name: _lists([each["train"][name] for each in watched]) for name in (watched[0]["train"] if watched else ())
    }
    return {
        "epochs": [line["epoch"] for line in judged],
        "validation": {"images": count, **_lists([line["validation"] for line in judged])},
        "train": {name: {"images": watched[0]["train"][name]["images"], **each} for name, each in train.items()},
        "best": {"epoch": judged[at]["epoch"], "robust": robust[at]},
        "last": {"epoch": judged[-1]["epoch"], "robust": robust[-1]},
        "gap": robust[at] - robust[-1],
        "noise": None if count is None else _noise(robust[at], robust[-1], count),
        "rise": {name: each["robust"][-1] - each["robust"][at] for name, each in train.items()},
    }


def record_overfitting(folder: str | Path) -> dict[str, Any]:
    """Write `robust_overfitting` of a run folder into its `diagnostics.json`, beside what else is there; return it.

    Raises:
        CheckpointError: The folder has no readable `metrics.jsonl`, or `diagnostics.json` is something else.
        InputError: As `robust_overfitting`.

    >>> import json
    >>> import tempfile
    >>> line = {"kind": "epoch", "epoch": 0, "validation": {"clean": 0.75, "robust": 0.5}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "metrics.jsonl").write_text(json.dumps(line))
    ...     print(record_overfitting(folder)["best"])
    {'epoch': 0, 'robust': 0.5}
    """
    folder = Path(folder)
    found = robust_overfitting(_history(folder / "metrics.jsonl"))
    path = folder / _FILE
    known = _object(path) if path.exists() else {}
    write_json({**known, "overfitting": found}, path)
    return found


def _history(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line["kind"] == "epoch"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "give the folder of a run that was trained") from error


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "move it away") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no diagnostics", "move it away")
    return found


def _lists(scores: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [each[name] for each in scores] for name in ("clean", "robust")}


def _noise(a: float, b: float, images: int) -> float:
    return 1.96 * math.sqrt((a * (1 - a) + b * (1 - b)) / images)
