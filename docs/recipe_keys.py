"""The page of recipe keys, read from the types that check recipes: one sentence per key, where the key is defined."""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from robustill.recipe import Recipe
from robustill.training.settings import as_number

PAGE = "reference/recipe.md"
_WIDTH = 100
_WORDS = {str: "text", int: "integer", float: "number", bool: "true or false"}
_BOUNDS = {Ge: ("ge", "at least {}"), Gt: ("gt", "above {}"), Le: ("le", "at most {}"), Lt: ("lt", "below {}")}
_HEAD = """# Recipe keys

Every key that a recipe may have, what it takes, and what holds where it is left out. A key that is not here is an error
that names the nearest one. `robustill train RECIPE --set KEY=VALUE` changes any of them, with its table in front:
`--set training.epochs=5`, `--set attack.eps=8/255`.

Only `[data]`, `[student]` and `[method]` must be there. A whole recipe: [Use your own data](../how-to/own-data.md). The
arguments of each method: [Methods](../methods/index.md). Each run writes its recipe with all defaults into
`recipe.toml`.
"""


def page() -> str:
    """Return the page: a section per table, a bullet per key."""
    parts = [_paragraph(_HEAD), *_section("", Recipe, set())]
    return "\n".join(parts) + "\n"


def _section(path: str, table: type[BaseModel], shown: set[type]) -> Iterator[str]:
    """Yield the lines of a table and of those in it; one that is shown already has its keys there."""
    shown.add(table)
    yield f"\n## `[{path}]`\n\n{_wrapped(_docstring(table))}\n" if path else "\n## At the top\n"
    for key, field in table.model_fields.items():
        # A table that is one key's alone says what it is itself, in its section.
        if field.description or not _tables(field.annotation):
            yield _bullet(key, field)
    for key, field in table.model_fields.items():
        name = [key, "NAME"] if typing.get_origin(field.annotation) is dict else [key]
        for inner in _tables(field.annotation):
            if inner not in shown:
                yield from _section(".".join([*filter(None, [path]), *name]), inner, shown)


def _docstring(table: type[BaseModel]) -> str:
    """Return what a table is, without the examples of its docstring."""
    return (inspect.getdoc(table) or "").partition("\n\n")[0].replace("\n", " ")


def _bullet(key: str, field: FieldInfo) -> str:
    said = ", ".join([_kind(field.annotation), *_bounds(field)])
    return _wrapped(f"- `{key}` ({said}; {_default(field)}): {field.description}.")


def _kind(annotation: Any) -> str:
    """Return in words what values a type takes."""
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(f'`"{each}"`' for each in options)
    if origin is typing.Annotated:
        fraction = any(getattr(each, "func", None) is as_number for each in options[1:])
        return f'{_kind(options[0])}, `"8/255"` too' if fraction else _kind(options[0])
    if origin in (types.UnionType, typing.Union):
        words = dict.fromkeys(_kind(each) for each in options if each is not type(None))
        return " or ".join(words)
    if origin is tuple:
        inner = " or ".join(dict.fromkeys(_kind(each) for each in options if each is not ...))
        return f"list of {inner}s"
    if origin is dict:
        return "table"
    return _WORDS.get(annotation, "table")


def _bounds(field: FieldInfo) -> Iterator[str]:
    for each in field.metadata:
        for kind, (name, words) in _BOUNDS.items():
            if isinstance(each, kind):
                limit = getattr(each, name)
                yield words.format(f"2^{limit.bit_length() - 1}" if limit > 2**32 else f"{limit:g}")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ((), {}, ""):
        return "may be left out"
    text = str(value).lower() if isinstance(value, bool) else value
    if isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, tuple):
        text = "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return f"default `{text}`"


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """Return the tables among the types that `annotation` allows, each once."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found = [each for option in typing.get_args(annotation) for each in _tables(option)]
    return list(dict.fromkeys(found))


def _wrapped(text: str) -> str:
    """Break lines, but for those inside of code."""
    whole = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\0"), text)
    indent = "  " if text.startswith("- ") else ""
    lines = textwrap.fill(whole, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def _paragraph(text: str) -> str:
    return "\n\n".join(_wrapped(each.replace("\n", " ")) for each in text.strip().split("\n\n"))
