"""Recipes as files: TOML, run folders, those that ship with robustill, and changes from the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robustill.errors import RecipeError, nearest
from robustill.recipe.mistakes import explain
from robustill.recipe.recipe import Recipe
from robustill.shipped import shipped_recipes as shipped_recipes

_MOST_BYTES = 2**20


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file, a run folder, or by the name of one that ships with robustill.

    Args:
        source: `my.toml`, `runs/x`, or `digits_rslad_cnn-small`.
        overrides: `"method.alpha=0.9"`, as given to `--set`; values are TOML, bare words are strings.

    Raises:
        RecipeError: Not found, not TOML, an unknown key or an impossible value; says where and what is near.

    >>> recipe = load_recipe("digits_rslad_cnn-small", ["training.epochs=2"])
    >>> recipe.title, recipe.training.epochs, recipe.eps()
    ('Digits: RSLAD student', 2, 0.15)
    """
    path = find_recipe(source)
    tree = read_toml(path)
    for change in overrides:
        override(tree, change)
    return parse_recipe(tree, where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most a megabyte.

    Raises:
        RecipeError: It cannot be read, is too large or not TOML.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RecipeError(
                f"{path} is larger than a megabyte: no recipe", "give a recipe: a TOML file of a few lines"
            )
        return tomllib.loads(path.read_text(encoding="utf-8"))
    # A number of thousands of digits is a ValueError, tables nested a thousand deep a RecursionError.
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is not TOML: {error}", "see the shipped recipes: robustill list recipes") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from error


def parse_recipe(tree: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Validate a table tree.

    Raises:
        RecipeError: As `load_recipe`.

    >>> tree = {"data": {"name": "digits"}, "student": {"architecture": "cnn_small"}}
    >>> parse_recipe({**tree, "method": {"name": "standard"}}).training.epochs
    30
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise explain(error, Recipe, tree, where) from error


def find_recipe(source: str | Path) -> Path:
    """Return the file that `source` stands for.

    Raises:
        RecipeError: There is none.

    >>> find_recipe("digits_rslad_cnn-small").name
    'digits_rslad_cnn-small.toml'
    """
    path = Path(source)
    try:
        if path.is_dir() and (path / "recipe.toml").is_file():
            return path / "recipe.toml"
        if path.is_file():
            return path
    except OSError as error:
        raise RecipeError(
            f"{str(source)[:200]!r} cannot be looked at: {error.strerror}",
            "give a TOML file, a run folder, or a name of robustill list recipes",
        ) from error
    shipped = shipped_recipes()
    if str(source) in shipped:
        return shipped[str(source)]
    hint = nearest(str(source), shipped)
    all_of_them = "" if hint.startswith("did you mean") else " (robustill list recipes shows all)"
    raise RecipeError(
        f"no recipe {str(source)!r}: neither a file nor the name of a shipped one", f"{hint}{all_of_them}"
    )


def override(tree: dict[str, Any], change: str) -> None:
    """Put one KEY=VALUE into a table tree; the value is TOML, or a bare word.

    Raises:
        RecipeError: Not of that form, or below something that is no table.
    """
    key, equals, text = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"--set {change!r} is not KEY=VALUE", "for example --set method.alpha=0.9")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except RecursionError as error:
        raise RecipeError(f"--set {key.strip()}: nested too deep", "give a number, a word, or a short list") from error
    except ValueError:
        value = text.strip()
    table = tree
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise RecipeError(
                f"--set {key.strip()}: {part!r} is not a table",
                "set the key itself, or one of a table: method.alpha=0.9",
            )
    table[parts[-1]] = value


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a table tree as one table with dotted keys.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
