"""Which of a run's evaluations is the one that its report and card tell of."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.errors import RecipeError
from robustill.evaluation import is_first
from robustill.evaluation.earlier import read_earlier, same_question
from robustill.recipe import Recipe
from robustill.terminal import printable

_STANDARD = "autoattack"


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
    threat = asked["threat"]
    data = "" if own_data else f"{asked['data']}-"
    name = f"{data}{asked['split']}-{threat['norm']}-{threat['eps']:.4g}-{asked['images']}-images"
    place = folder / "evaluations" / "".join(c if c.isalnum() or c in "-._" else "_" for c in name)
    if is_first():
        sys.stderr.write(f"note: {folder} keeps its evaluation ({told}), which says more; this one is in {place}\n")
    return place


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
