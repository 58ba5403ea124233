"""What of a run's recipe may be another when it goes on: where things lie, and what changes no result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.errors import CheckpointError
from robustill.evaluation import is_first
from robustill.recipe import Recipe, load_recipe
from robustill.recipe.files import flatten
from robustill.recipe.networks import Teacher, teacher_table
from robustill.runs.written import write_recipe
from robustill.training.checkpoint import digests_then
from robustill.training.networks import guides, teacher_digests
from robustill.training.resume import OPERATIONAL

if TYPE_CHECKING:
    from robustill.data import Data
    from robustill.methods import Method

_SAME = "resume without changes, or start anew in another folder"


def check_same_recipe(recipe: Recipe, written: Path) -> None:
    """Check all of a run's recipe but the places of data and teachers, which `check_same_content` judges.

    Args:
        recipe: What the run is to go on with.
        written: The run's `recipe.toml`.

    Raises:
        CheckpointError: Something differs that decides the result; says what.
    """
    before, now = (flatten(_without_places(each)) for each in (load_recipe(written), recipe))
    # Neither where the run computes nor what it logs decides what it computes.
    free = ("title", "evaluation.", *(f"training.{key}" for key in OPERATIONAL))
    other = [
        f"{key}: {before.get(key)} then, {now.get(key)} now"
        for key in before | now
        if before.get(key) != now.get(key) and not key.startswith(free)
    ]
    if other:
        last = written.parent / "student_last.safetensors"
        longer = f"; to train longer, start anew from its weights: --set student.weights={last}"
        raise CheckpointError(
            f"{written.parent} was started with another recipe: {'; '.join(other)}",
            _SAME + longer * any(line.startswith("training.epochs:") for line in other),
        )


def check_same_content(recipe: Recipe, written: Path, method: Method, data: Data) -> None:
    """Check that data and teachers which lie elsewhere now are those of the run, and note the places in its recipe.

    Args:
        recipe: What the run goes on with, which `check_same_recipe` has passed.
        written: The run's `recipe.toml`.
        method: What was built from `recipe`.
        data: Its data.

    Raises:
        CheckpointError: They are others, or nothing says so; says which.
    """
    before = load_recipe(written)
    moved = _moved(before, recipe)
    if not moved:
        return
    then = {_own_name(name): digest for name, digest in (digests_then(written.parent) or {}).items()}
    now = {"data": data.digest} | {_own_name(name): digest for name, digest in teacher_digests(method).items()}
    learning = {_own_name(name) for name in guides(method)}
    for key, places in moved.items():
        name = key.removeprefix("teachers.")
        # What a list holds has digests of its own: NAME.0, NAME.1 ...
        held = [each for each in now | then if each == name or each.startswith(f"{name}.")]
        # A network that learns is what it started from no longer: no digest tells whether this is where it began.
        if name in learning or not held or any(now.get(each) != then.get(each) for each in held):
            raise CheckpointError(
                f"{written.parent} was started with another recipe: {key}: {places}, and what is there is not "
                "known to be the same",
                f"{key} may lie elsewhere if its content is the same; otherwise {_SAME}",
            )
    if is_first():
        settled = before.model_copy(update={"data": recipe.data, "teachers": recipe.teachers})
        write_recipe(settled, written, method, data)


def _moved(before: Recipe, now: Recipe) -> dict[str, str]:
    found = {"data": (_place(before), _place(now))}
    found |= {
        f"teachers.{name}": (_sources(source), _sources(now.teachers[name])) for name, source in before.teachers.items()
    }
    return {key: f"{old} then, {new} now" for key, (old, new) in found.items() if old != new}


def _place(recipe: Recipe) -> str:
    return recipe.data.name + ("" if recipe.data.root is None else f" in {recipe.data.root}")


def _sources(teacher: Teacher | tuple[Teacher, ...]) -> str:
    return ", ".join(teacher_table(each).source for each in (teacher if isinstance(teacher, tuple) else (teacher,)))


def _without_places(recipe: Recipe) -> dict[str, Any]:
    def rest(teacher: Teacher) -> dict[str, Any]:
        # Not None, which is how a teacher looks that is not there.
        return {**teacher_table(teacher).model_dump(), "source": "given"}

    return {
        **recipe.model_dump(),
        "data": {**recipe.data.model_dump(), "name": None, "root": None},
        "teachers": {
            name: {str(k): rest(each) for k, each in enumerate(source)} if isinstance(source, tuple) else rest(source)
            for name, source in recipe.teachers.items()
        },
    }


def _own_name(path: str) -> str:
    """Return what a network is called without the wrappers around its method, of which AWP is no part of recipes."""
    while path.startswith("base."):
        path = path.removeprefix("base.")
    return path
