"""Example images of a run folder, for its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.errors import RobustillError
from robustill.recipe import Recipe, load_recipe
from robustill.runs.evaluate import run_data, run_norm
from robustill.writing import write_json

if TYPE_CHECKING:
    from robustill.data import Data

_STUDENT, _GALLERY = "student.safetensors", "gallery.json"


def write_gallery(folder: str | Path) -> str | None:
    """Write `gallery.json` of a run folder, for its report; return why there is none, or None.

    What is there already is kept if it is of the same weights, radius and teachers.

    >>> write_gallery("no-run")
    'there is no recipe.toml or no student.safetensors'
    """
    from robustill.evaluation.gallery import gallery
    from robustill.models import file_digest, load_model

    folder = Path(folder)
    if not all((folder / name).is_file() for name in ("recipe.toml", _STUDENT)):
        return f"there is no recipe.toml or no {_STUDENT}"
    try:
        recipe = load_recipe(folder)
        eps, norm = recipe.eps(), run_norm(None, recipe)
        about = {"weights": file_digest(folder / _STUDENT), "teachers": recipe.model_dump(mode="json")["teachers"]}
        if _known(folder / _GALLERY, {**about, "eps": eps, "norm": norm}):
            return None
        data = run_data(recipe)
        student = load_model(folder / _STUDENT, num_classes=data.num_classes, shape=data.shape)
        teachers, missing = _teachers(recipe, data)
        found = gallery(student, teachers, data, eps=eps, norm=norm)
        write_json({**found, **about, "missing": missing}, folder / _GALLERY)
    except RobustillError as error:
        return error.message
    return None


def _teachers(recipe: Recipe, data: Data) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the teachers that can be loaded, and why others cannot."""
    from robustill.recipe.networks import teacher_networks

    found: dict[str, Any] = {}
    missing = {}
    for name, source in recipe.teachers.items():
        try:
            networks = teacher_networks(source, data)
        except RobustillError as error:
            missing[name] = error.message
            continue
        several = {f"{name} {k}": each for k, each in enumerate(networks, 1)} if isinstance(networks, list) else {}
        found |= several or {name: networks}
    return found, missing


def _known(path: Path, wanted: dict[str, Any]) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return not found["missing"] and all(found[key] == value for key, value in wanted.items())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
