"""What a folder already knows: attacks that were run before on the same question count too, others are put aside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from robustill.evaluation.campaign import TRANSFER
from robustill.evaluation.result import Evaluation
from robustill.evaluation.store import VerdictStore
from robustill.writing import put_aside, write_json

FILE = "evaluation.json"
_ORIGIN = ("data_digest", "model_digest", "split", "seed", "precision", "images")


def read_earlier(folder: Path) -> dict[str, Any]:
    """Return what `evaluation.json` of `folder` holds; nothing where there is none that can be read."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def same_question(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two evaluations, as JSON, are of the same weights, images, threat and random draws."""
    return one.get("threat") == other.get("threat") and all(one.get(key) == other.get(key) for key in _ORIGIN)


def recall(result: Evaluation, store: VerdictStore, folder: Path) -> Evaluation:
    """Return `result` with the attacks that `folder` counted before on the same question, and `store` has verdicts of.

    What the verdicts do not bear out is left out; those of transfers are of one surrogate, that of `result` if any.
    """
    found = read_earlier(folder)
    if not same_question(found, result.to_json()):
        return result
    surrogate = result.about.get("transfer_from", found.get("transfer_from"))
    attacks = found.get("attacks")
    for name, entry in attacks.items() if isinstance(attacks, dict) else ():
        if isinstance(entry, dict) and name not in result.verdicts:
            result = _with(result, name, entry, store, str(surrogate)[:12])
    if surrogate is not None and any(name.startswith(TRANSFER) for name in result.verdicts):
        result = replace(result, about={**result.about, "transfer_from": surrogate})
    return result


def _with(result: Evaluation, name: str, entry: Mapping[str, Any], store: VerdictStore, surrogate: str) -> Evaluation:
    """Add one attack, if the store holds what its entry counts."""
    known = entry.get("stages")
    stages = list(known) if isinstance(known, dict) else []
    keys = [f"{name}/{stage}" for stage in stages] or [f"{name}/{surrogate}" if name.startswith(TRANSFER) else name]
    if any(key not in store.levels for key in keys):
        return result
    right: list[Tensor] = [store.levels[key] > 0 for key in keys]
    if float(right[-1].double().mean()) != entry.get("accuracy"):
        return result
    return replace(
        result,
        verdicts={**result.verdicts, name: right[-1]},
        stages=result.stages | ({name: dict(zip(stages, right, strict=True))} if stages else {}),
        seconds=result.seconds | {key: store.seconds[key] for key in keys if key in store.seconds},
    )


def write_result(result: Evaluation, folder: Path) -> None:
    """Write `evaluation.json`; one of another question stays as `evaluation.old.json`.

    Raises:
        WriteError: The folder cannot be written.
    """
    found, new = read_earlier(folder), result.to_json()
    if same_question(found, new):
        # What was not asked for this time is still true: a curve, and checks if they judged these same attacks.
        before = found.get("attacks")
        judged = isinstance(before, dict) and before.keys() == new["attacks"].keys()
        new = {key: found[key] for key in ("curve", *(["checks"] if judged else [])) if key in found} | new
    elif found:
        put_aside(folder / FILE)
    write_json(new, folder / FILE)
