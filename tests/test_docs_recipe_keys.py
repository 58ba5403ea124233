"""The page of recipe keys has every key, with a sentence that stands at the key's definition."""

from __future__ import annotations

import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, Field

from robustill.recipe import Recipe
from robustill.training.settings import Number, Table

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "reference" / "recipe.md").read_text(encoding="utf-8")


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.delitem(sys.modules, "recipe_keys", raising=False)
    import recipe_keys  # type: ignore[import-not-found]

    return typing.cast("ModuleType", recipe_keys)


def tables(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for option in typing.get_args(annotation):
        yield from tables(option)


def keys(
    table: type[BaseModel] = Recipe, path: str = "", above: tuple[type, ...] = ()
) -> Iterator[tuple[str, str, Any]]:
    """Yield (path of the table, key, field) of all there is below a table, but for tables inside themselves."""
    for key, field in table.model_fields.items():
        yield path, key, field
        named = ".NAME" if typing.get_origin(field.annotation) is dict else ""
        for inner in dict.fromkeys(tables(field.annotation)):
            if inner is not table and inner not in above:
                yield from keys(inner, f"{path}.{key}{named}".strip("."), (*above, table))


def section(path: str) -> str:
    found = re.search(rf"^## {re.escape(f'`[{path}]`') if path else 'At the top'}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found is not None, path
    return found[1]


def test_every_key_is_in_its_section_with_its_sentence() -> None:
    seen = 0
    for path, key, field in keys():
        if path.startswith("training.guides.NAME."):  # the keys of the student's optimizer and schedule
            continue
        own = list(tables(field.annotation))
        if own and not field.description:
            assert section(f"{path}.{key}".strip(".")), key
            continue
        assert field.description, f"{path}.{key} has no description"
        assert not field.description.endswith("."), f"{path}.{key}"
        bullet = re.search(rf"^- `{key}` \([^:]*\):\s(.*?)\.$(?=\n- |\n\n|\n\Z|\Z)", section(path), re.M | re.S)
        assert bullet is not None, f"{path}.{key}"
        assert " ".join(bullet[1].split()) == field.description
        seen += 1
    assert seen >= 80


def test_every_table_says_what_it_is() -> None:
    for name, head in re.findall(r"^## `\[(.*?)\]`\n\n(.*)$", PAGE, flags=re.MULTILINE):
        assert len(head) > 15, name
        assert not head.startswith("Usage docs"), f"{name} has no docstring of its own"


def test_lines_fit_a_terminal_and_code_is_not_broken() -> None:
    for line in PAGE.splitlines():
        assert len(line) <= 100
        assert line.count("`") % 2 == 0, line


class Inner(Table):
    """A table inside."""

    switch: bool = Field(default=True, description="on")


class Outer(Table):
    """A table."""

    share: Number | None = Field(default=None, ge=0, lt=1, description="some of it")
    big: int = Field(default=3, gt=0, lt=2**63, description="a number")
    word: typing.Literal["a", "b"] = Field(default="a", description="a word")
    several: tuple[str, ...] = Field(default=("x",), description="words")
    needed: str = Field(description="must be there")
    inner: Inner = Inner()


def test_types_ranges_and_defaults_are_those_of_the_key(helper: ModuleType) -> None:
    assert "\n".join(helper._section("outer", Outer, set())) == (
        "\n## `[outer]`\n\nA table.\n\n"
        '- `share` (number, `"8/255"` too, at least 0, below 1; may be left out): some of it.\n'
        "- `big` (integer, above 0, below 2^63; default `3`): a number.\n"
        '- `word` (one of `"a"`, `"b"`; default `"a"`): a word.\n'
        '- `several` (list of texts; default `["x"]`): words.\n'
        "- `needed` (text; required): must be there.\n"
        "\n## `[outer.inner]`\n\nA table inside.\n\n"
        "- `switch` (true or false; default `true`): on."
    )
