"""Which of a run's evaluations is the one that its report and card tell of."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robustill.errors import ModelError, RecipeError
from robustill.evaluation import is_first
from robustill.evaluation.earlier import read_earlier, same_question
from robustill.models.seal import read_sealed
from robustill.recipe import Recipe
from robustill.report import draw_curve
from robustill.terminal import printable
from robustill.writing import make_folder, put_aside

_STANDARD = "autoattack"
_ASIDE = "evaluation.old*.json"
_DECIDES = ("data_digest", "model_digest", "split", "seed", "precision")


def place_of(asked: Mapping[str, Any], folder: Path, recipe: Recipe | None, *, own_data: bool) -> Path:
    """Return where an evaluation of a run goes: into `folder`, unless one that says more of the same weights is there.

    More says, in this order: the run's own data, the test split, the recipe's threat, standard AutoAttack, more images.

    Args:
        asked: What `evaluation.json` will hold, as far as it is known before: origin, threat, images, attacks.
        folder: The run folder, or its `last/`.
        recipe: The run's.
        own_data: Whether the data are the recipe's.
    """
    kept = read_earlier(folder)
    try:
        same_data = kept.get("data_digest") == asked["data_digest"]
        less = (
            kept.get("model_digest") == asked["model_digest"]
            and not same_question(asked, kept)
            and _rank(asked, recipe, own_data=own_data or same_data)
            < _rank(kept, recipe, own_data=not own_data or same_data)
        )
        told = _told(kept) if less else ""
    except (LookupError, TypeError, AttributeError, ValueError):
        # Not what this version writes: it will be put aside.
        return folder
    if not less:
        return folder
    place = _besides(asked, folder, own_data=own_data)
    if is_first():
        sys.stderr.write(f"note: {folder} keeps its evaluation ({told}), which says more; this one is in {place}\n")
    return place


@contextmanager
def keeping(asked: Mapping[str, Any], folder: Path, *, own_data: bool) -> Iterator[None]:
    """Move what an evaluation inside displaces from `folder` to where reports find it, with its verdicts and curve.

    What was found of other weights stays as `evaluation.old.json`.

    Args:
        asked: As in `place_of`.
        folder: Where the new one goes, as `place_of` says.
        own_data: As in `place_of`.
    """
    kept, before = read_earlier(folder), set(folder.glob(_ASIDE))
    yield
    aside = set(folder.glob(_ASIDE)) - before
    if not (is_first() and aside) or kept.get("model_digest") != asked["model_digest"]:
        return
    try:
        same_data = kept["data_digest"] == asked["data_digest"]
        place = _besides(kept, folder, own_data=own_data == same_data)
    except (LookupError, TypeError, ValueError):
        return
    make_folder(place)
    _move(aside.pop(), place / "evaluation.json")
    for path in folder.glob("verdicts.old*.safetensors"):
        if _verdicts_of(kept, path):
            _move(path, place / "verdicts.safetensors")
    if "curve" in kept:
        draw_curve(kept, place / "curve.svg")
        if "curve" not in read_earlier(folder):
            (folder / "curve.svg").unlink(missing_ok=True)


def _move(path: Path, place: Path) -> None:
    if place.exists():
        put_aside(place)
    os.replace(path, place)


def _verdicts_of(kept: Mapping[str, Any], path: Path) -> bool:
    try:
        tensors, about = read_sealed(path)
        settings = json.loads(about["settings"])
    except (ModelError, KeyError, ValueError, RecursionError):
        return False
    threat = {"norm": settings.get("norm"), "eps": settings.get("eps")}
    same = threat == kept.get("threat") and all(settings.get(key) == kept.get(key) for key in _DECIDES)
    return same and all(len(each) == kept["images"] for name, each in tensors.items() if name.startswith("level/"))


def _besides(found: Mapping[str, Any], folder: Path, *, own_data: bool) -> Path:
    threat, data = found["threat"], "" if own_data else f"{found['data']}-"
    name = f"{data}{found['split']}-{threat['norm']}-{threat['eps']:.4g}-{found['images']}-images"
    return folder / "evaluations" / "".join(c if c.isalnum() or c in "-._" else "_" for c in name)


def _told(kept: Mapping[str, Any]) -> str:
    attacks, threat = ", ".join(kept["attacks"]) or "no attack", kept["threat"]
    return printable(f"{attacks} on {kept['images']} {kept['split']} images, {threat['norm']} eps {threat['eps']:.4g}")


def _rank(found: Mapping[str, Any], recipe: Recipe | None, *, own_data: bool) -> tuple[bool, bool, bool, bool, int]:
    threat = (found["threat"]["norm"], found["threat"]["eps"])
    own_threat = recipe is None or threat == (recipe.norm(), _radius(recipe, threat[1]))
    return own_data, found["split"] == "test", own_threat, _STANDARD in found["attacks"], int(found["images"])


def _radius(recipe: Recipe, without: float) -> float:
    """Return the radius of a recipe's evaluation; `without` for one that was not trained under attack."""
    try:
        return recipe.eps()
    except RecipeError:
        return without
