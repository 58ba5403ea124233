"""What is wrong with a recipe as one message: the key, what is wrong with it, and the nearest known key."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from robustill.errors import RecipeError, nearest
from robustill.training.settings import as_number


def explain(error: ValidationError, root: type[BaseModel], tree: Mapping[str, Any], where: str) -> RecipeError:
    """Return a `RecipeError` for all problems that pydantic found in the table `tree` of the file `where`."""
    messages: dict[str, list[str]] = {}
    hints = []
    for problem in error.errors(include_url=False):
        location = [part for part in problem["loc"] if isinstance(part, str)]
        if problem["type"] == "missing":
            messages.setdefault(f"{'.'.join(location)}: missing", [])
            continue
        # A value that may be of several types gets a problem for each, located below its key.
        location, value = _value(tree, location)
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            messages.setdefault(f"{key}: unknown key", [])
            hints.append(_of_architecture(tree, location) or nearest(location[-1], _fields(root, location[:-1])))
        else:
            messages.setdefault(f"{key} = {value!r}: ", []).append(problem["msg"])
    text = "; ".join(what + ", or ".join(dict.fromkeys(reasons)) for what, reasons in messages.items())
    return RecipeError(f"{where}: {text}", "; ".join(dict.fromkeys(hints)) or None)


def _of_architecture(tree: Mapping[str, Any], location: list[str]) -> str | None:
    """Return a hint if the unknown key is an argument of the student's architecture, one table too high."""
    table = tree.get(location[0])
    if location[:-1] != ["student"] or not isinstance(table, Mapping):
        return None
    from robustill.models import MODELS

    build = MODELS.get(str(table.get("architecture")))
    named = {} if build is None else inspect.signature(build).parameters
    if location[-1] not in named or named[location[-1]].kind is not inspect.Parameter.KEYWORD_ONLY:
        return None
    return f"it is an argument of {table['architecture']}: student.arguments.{location[-1]}"


def _value(tree: Any, location: list[str]) -> tuple[list[str], Any]:
    """Return the part of `location` that is keys of the tree, and what is there."""
    for depth, part in enumerate(location):
        if not isinstance(tree, Mapping) or part not in tree:
            return location[:depth], tree
        tree = tree[part]
    return location, tree


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys of the table at `path`; the names inside a dictionary of tables are free."""
    found: Any = model
    for part in path:
        if typing.get_origin(found) is dict:
            found = _table(typing.get_args(found)[1])
        else:
            field = found.model_fields.get(part)
            found = _table(field.annotation) if field is not None else None
        if found is None:
            return []
    return list(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else []


def _table(annotation: Any) -> Any:
    """Return the table, or the dictionary of tables, among the types that `annotation` allows."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    tables = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
    tables += [option for option in options if typing.get_origin(option) is dict]
    return tables[0] if tables else None


def checked_argument(
    method: str, key: str, value: Any, known: Mapping[str, inspect.Parameter], *, where: str = "method"
) -> bool | float | str:
    """Return the argument `key` of a method: a number, a switch, one of several words, or the path of a file.

    "5/6" is a number.

    Raises:
        RecipeError: The method has no such argument, or it does not take this value.
    """
    names = [name for name in known if name != "attack"]
    if key not in names:
        hint = nearest(key, names) if names else f"{method} has no arguments"
        raise RecipeError(f"{where}.{key}: {method} has no such argument", hint)
    kinds = typing.get_args(known[key].annotation) or (known[key].annotation,)
    if isinstance(value, str) and (value in kinds or str in kinds):
        return value
    try:
        found = as_number(value)
    except ValueError:
        found = None
    is_number = isinstance(found, int | float) and math.isfinite(found) and not {bool, int, float}.isdisjoint(kinds)
    fits = is_number and (float in kinds or found == int(found))
    if not fits or isinstance(found, bool) != (bool in kinds):
        words = [kind for kind in kinds if isinstance(kind, str)]
        near = nearest(str(value), words) if words else None
        raise RecipeError(f"{where}.{key}: {value!r} is no value for {known[key]}", near)
    return found  # type: ignore[no-any-return]
