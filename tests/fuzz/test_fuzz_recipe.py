"""Recipes: whatever the text or a value in it, there is a recipe that survives being written, or one error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from robustill.errors import RobustillError
from robustill.recipe import Recipe, load_recipe
from robustill.recipe.files import parse_recipe
from tests.fuzz.examples import damaged, fuzzed, ours, written

VALID: dict[str, Any] = {
    "title": "t",
    "data": {
        "name": "digits",
        "limit": 60,
        "validation": 0.2,
        "seed": 1,
        "size": 8,
        "crop": 1,
        "flip": True,
        "root": "x",
    },
    "student": {"architecture": "cnn_small", "normalize": True, "arguments": {"width": 2}, "weights": "runs/x"},
    "teachers": {"teacher": {"source": "runs/t", "mean": [0.5], "std": [0.5], "arguments": {"width": 2}}},
    "method": {"name": "igdm", "alpha": 1.0, "base": {"name": "rslad", "alpha": 0.8}},
    "attack": {"eps": "8/255", "step_size": 0.01, "steps": 2, "norm": "Linf", "init": "uniform"},
    "training": {
        "epochs": 2,
        "batch_size": 32,
        "seed": 0,
        "guides": {"peer": {"optimizer": {"lr": 0.1}}},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "piecewise", "milestones": [1.0]},
        "average": {"name": "ema"},
        "awp": {"gamma": 0.01},
        "selection": {"eps": "1/255"},
        "overfitting": {"images": 5, "subset": "rows"},
    },
    "evaluation": {"eps": 0.1, "attacks": ["fgsm"]},
}

LEAF = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**30]),
    st.floats(),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "../../etc/passwd", "/dev/zero", "a\0b", "x" * 5000, "\x1b[2J", "8/0", "nan", "1/1/1", "digits"]
    ),
)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def places(tree: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in tree.items():
        found.append((*before, key))
        found += places(value, (*before, key)) if isinstance(value, dict) else []
    return found


def changed(tree: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, *rest = place
    return {**tree, key: changed(tree[key], tuple(rest), value) if rest else value}


CHANGED = st.builds(lambda place, value: changed(VALID, place, value), st.sampled_from(places(VALID)), VALUE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def test_the_recipe_that_is_changed_is_valid() -> None:
    assert isinstance(parse_recipe(VALID), Recipe)


@fuzzed(250)
@given(CHANGED)
def test_a_value_in_a_recipe(place: Path, tree: dict[str, Any]) -> None:
    found = ours(lambda: parse_recipe(tree))
    if isinstance(found, Recipe):
        again = written(place, "again.toml", found.to_toml().encode("utf-8", "replace"))
        assert isinstance(ours(lambda: load_recipe(again)), Recipe | RobustillError)
        ours(found.eps)


@fuzzed(60)
@given(CHANGED)
def test_what_is_built_from_a_recipe(tree: dict[str, Any]) -> None:
    plain = {**tree, "method": {"name": "pgd_at"}} if tree["method"] == VALID["method"] else tree
    plain = {**plain, "teachers": {}} if tree["teachers"] == VALID["teachers"] else plain
    for table, key in (("data", "root"), ("data", "size"), ("student", "weights"), ("student", "arguments")):
        if isinstance(plain.get(table), dict) and plain[table].get(key) == VALID[table][key]:
            plain = {**plain, table: {k: v for k, v in plain[table].items() if k != key}}
    if isinstance(plain.get("data"), dict) and str(plain["data"].get("name")).startswith("hf-"):
        return
    ours(lambda: parse_recipe(plain).build())


@fuzzed(150)
@given(
    st.one_of(
        damaged(tomli_w.dumps(VALID).encode()), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_text_that_is_hardly_a_recipe(place: Path, content: bytes) -> None:
    ours(lambda: load_recipe(written(place, "recipe.toml", content)))


@fuzzed(100)
@given(
    st.one_of(
        st.text(max_size=30),
        st.tuples(st.sampled_from(places(VALID)), st.text(max_size=20)).map(lambda p: f"{'.'.join(p[0])}={p[1]}"),
    )
)
def test_a_change_on_the_command_line(place: Path, change: str) -> None:
    path = written(place, "plain.toml", tomli_w.dumps(VALID).encode())
    ours(lambda: load_recipe(path, [change]))


@pytest.mark.parametrize("content", ["a = " + "[" * 50_000, "a = " + "9" * 5000, "[" + "a." * 5000 + "b]", "x" * 2**21])
def test_text_that_costs_much(content: str, place: Path) -> None:
    found = ours(lambda: load_recipe(written(place, "recipe.toml", content.encode())))
    assert isinstance(found, RobustillError)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\ud800", "", "/proc/self/mem", "."])
def test_names_that_are_no_recipe(name: str) -> None:
    assert isinstance(ours(lambda: load_recipe(name)), RobustillError)
