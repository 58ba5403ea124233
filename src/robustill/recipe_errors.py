"""A recipe's validation error as one message: the key, what is wrong with it, and the nearest known key."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from robustill.errors import RecipeError, nearest


def explain(error: ValidationError, root: type[BaseModel], where: str) -> RecipeError:
    """Return a `RecipeError` for all problems that pydantic found in the file `where`."""
    messages, hints = [], []
    for problem in error.errors(include_url=False):
        location = [part for part in problem["loc"] if isinstance(part, str)]
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            known = _fields(root, location[:-1])
            messages.append(f"{key}: unknown key")
            hints.append(nearest(location[-1], known))
        elif problem["type"] == "missing":
            messages.append(f"{key}: missing")
        else:
            messages.append(f"{key} = {problem['input']!r}: {problem['msg']}")
    return RecipeError(f"{where}: " + "; ".join(dict.fromkeys(messages)), "; ".join(dict.fromkeys(hints)) or None)


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = _table(field.annotation) if field is not None else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _table(annotation: Any) -> type[BaseModel] | None:
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    tables = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
    return tables[0] if tables else None
