"""Train a recipe into a run folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robustill.errors import CheckpointError, RecipeError
from robustill.recipe import Recipe, load_recipe
from robustill.recipe.files import flatten
from robustill.terminal import printable
from robustill.writing import write_whole

if TYPE_CHECKING:
    from robustill.data import Data
    from robustill.methods import Method
    from robustill.training import TrainResult


def run_recipe(
    recipe: Recipe, folder: str | Path, *, resume: bool = False, progress: bool = True, track: Sequence[str] = ()
) -> TrainResult:
    """Train `recipe` into `folder`, which gets `recipe.toml` with every default written out; `track` as in `train`.

    Raises:
        RobustillError: As `Recipe.build` and `train`.

    >>> import tempfile
    >>> recipe = load_recipe("digits_standard_cnn-small", ["training.epochs=1", "data.limit=300"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = run_recipe(recipe, folder, progress=False)
    ...     sorted(path.name for path in Path(folder).glob("student*"))
    ['student.safetensors', 'student_last.safetensors']
    """
    from robustill.training.checkpoint import has_checkpoint
    from robustill.training.lock import hold

    folder = Path(folder)
    if resume and not has_checkpoint(folder):
        raise CheckpointError(f"no checkpoint in {folder}", "start the run without --resume")
    with hold(folder):
        return _run_recipe(recipe, folder, resume, progress, track)


def _run_recipe(recipe: Recipe, folder: Path, resume: bool, progress: bool, track: Sequence[str]) -> TrainResult:
    from robustill.evaluation import is_first
    from robustill.training import train
    from robustill.training.resume import check_new

    written = folder / "recipe.toml"
    if resume:
        _check_same_recipe(recipe, written)
    else:
        # Before its recipe.toml is written over.
        check_new(folder)
    method, data = recipe.build()
    _check_teachers(method, data)
    if is_first() and not resume:
        write_whole(written, [_toml(recipe)])
    result = train(method, data, recipe.training, out=folder, resume=resume, progress=progress, track=track)
    if recipe.training.overfitting.images and is_first():
        from robustill.diagnostics.overfitting import record_overfitting
        from robustill.report import draw_overfitting

        draw_overfitting(record_overfitting(folder), folder / "overfitting.svg")
    return result


def _toml(recipe: Recipe) -> bytes:
    try:
        return recipe.to_toml().encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecipeError("a path in the recipe is not valid UTF-8", "rename the file or folder") from error


def _check_teachers(method: Method, data: Data) -> None:
    import torch

    from robustill.diagnostics import chance_warning
    from robustill.evaluation import is_first
    from robustill.training.networks import check_networks, pretrained

    check_networks(method, data, torch.device("cpu"))
    for name, network in pretrained(method).items():
        warning = chance_warning(name, network, data)
        if warning is not None and is_first():
            sys.stderr.write(f"warning: {printable(warning)}\n")


def _check_same_recipe(recipe: Recipe, written: Path) -> None:
    before, now = flatten(load_recipe(written).model_dump()), flatten(recipe.model_dump())
    other = [
        f"{key}: {before.get(key)} then, {now.get(key)} now" for key in before | now if before.get(key) != now.get(key)
    ]
    # Where the run computes does not decide what it computes.
    other = [line for line in other if not line.startswith(("title:", "evaluation.", "training.device:"))]
    if other:
        last = written.parent / "student_last.safetensors"
        longer = f"; to train longer, start anew from its weights: --set student.weights={last}"
        raise CheckpointError(
            f"{written.parent} was started with another recipe: {'; '.join(other)}",
            "resume without changes, or start anew in another folder"
            + longer * any(line.startswith("training.epochs:") for line in other),
        )
