"""The recipe of a run as its folder holds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from robustill.errors import RecipeError
from robustill.recipe import Recipe
from robustill.terminal import printable
from robustill.writing import write_whole

if TYPE_CHECKING:
    from robustill.data import Data
    from robustill.methods import Method


def write_recipe(recipe: Recipe, path: Path, method: Method, data: Data) -> None:
    """Write the `recipe.toml` of a run; at its end, as comments, what is in force where the recipe says nothing.

    Args:
        recipe: What the run was told.
        path: The file.
        method: What was built from it, with the defaults of its arguments and of its attack.
        data: Its data, with their own augmentation.

    Raises:
        RecipeError: A path in it is not UTF-8, as TOML is.
    """
    try:
        text = "\n".join([recipe.to_toml(), *_in_force(method, data), ""]).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecipeError("a path in the recipe is not valid UTF-8", "rename the file or folder") from error
    write_whole(path, [text])


def _in_force(method: Method, data: Data) -> Iterator[str]:
    from robustill.training.hyperparameters import hyperparameters

    yield "# In force where nothing above says otherwise:"
    for name, value in hyperparameters(method).items():
        if value is not None:
            yield f"# {'' if name.rpartition('.')[2] == 'attack' else 'method.'}{name} = {_one_line(value)}"
    yield f"# augmentation: {_one_line(data.augment)}"


def _one_line(value: object) -> str:
    return " ".join(printable(str(value)).split())
