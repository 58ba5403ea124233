"""The recipe of a run as its folder holds it."""

from __future__ import annotations

from pathlib import Path

from robustill.errors import RecipeError
from robustill.recipe import Recipe
from robustill.writing import write_whole


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write the `recipe.toml` of a run.

    Raises:
        RecipeError: A path in it is not UTF-8, as TOML is.
    """
    try:
        text = recipe.to_toml().encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecipeError("a path in the recipe is not valid UTF-8", "rename the file or folder") from error
    write_whole(path, [text])
