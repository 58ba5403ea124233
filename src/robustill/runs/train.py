"""Train a recipe into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robustill.errors import CheckpointError
from robustill.recipe import Recipe
from robustill.runs.written import write_recipe

if TYPE_CHECKING:
    from robustill.training import TrainResult


def run_recipe(
    recipe: Recipe, folder: str | Path, *, resume: bool = False, progress: bool = True, track: Sequence[str] = ()
) -> TrainResult:
    """Train `recipe` into `folder`, which gets `recipe.toml` with all that is in force; `track` as in `train`.

    Raises:
        RobustillError: As `Recipe.build` and `train`.

    >>> import tempfile
    >>> from robustill.recipe import load_recipe
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
    import torch

    from robustill.evaluation import is_first
    from robustill.runs.radii import tell_radii
    from robustill.runs.resume import check_same_content, check_same_recipe
    from robustill.training import train
    from robustill.training.networks import check_networks
    from robustill.training.resume import check_new

    written = folder / "recipe.toml"
    if resume:
        check_same_recipe(recipe, written)
    else:
        # Before its recipe.toml is written over.
        check_new(folder)
    method, data = recipe.build()
    if resume:
        check_same_content(recipe, written, method, data)
    check_networks(method, data, torch.device("cpu"))
    tell_radii(recipe, trains=True)
    if is_first() and not resume:
        write_recipe(recipe, written, method, data)
    result = train(method, data, recipe.training, out=folder, resume=resume, progress=progress, track=track)
    if recipe.training.overfitting.images and is_first():
        from robustill.diagnostics.overfitting import record_overfitting
        from robustill.report import draw_overfitting

        draw_overfitting(record_overfitting(folder), folder / "overfitting.svg")
    return result
