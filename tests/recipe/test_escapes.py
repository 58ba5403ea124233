"""A recipe may name files to read; it decides neither where anything is written nor what is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from robustill.cli import main
from robustill.errors import RecipeError, RobustillError
from robustill.recipe import load_recipe

PLAIN: dict[str, Any] = {
    "data": {"name": "digits", "limit": 60, "validation": 0.2},
    "student": {"architecture": "cnn_small"},
    "method": {"name": "standard"},
    "training": {"epochs": 1, "batch_size": 32},
}


def recipe(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps({**PLAIN, **changes}))
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_training_writes_into_its_folder_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    path = recipe(home, title="../../../escaped", evaluation={"attacks": ["fgsm"], "eps": 0.1})
    with pytest.raises(SystemExit) as end:
        main(["train", str(path), "--out", "run"])
    assert not end.value.code
    assert {name.split("/")[0] for name in files(home)} == {"recipe.toml", "run"}
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


@pytest.mark.parametrize("name", ["..toml", "...toml"])
def test_the_name_of_a_recipe_does_not_lead_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    recipe(home).rename(home / name)
    with pytest.raises(SystemExit):
        main(["train", name])
    assert files(tmp_path) == {"home", f"home/{name}"}


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"source": "robustbench:Wong2020Fast", "arguments": {"model_dir": "../elsewhere"}}, "model_dir"),
        ({"source": "robustbench:Wong2020Fast", "arguments": {"x": 1}}, "takes no arguments"),
        ({"source": "hf-hub:a/b", "arguments": {"x": 1}}, "takes no arguments"),
        ({"source": "runs/x", "arguments": {"device": "cuda"}}, "device"),
        ({"source": "runs/x", "arguments": {"path_or_name": "y"}}, "path_or_name"),
        ({"source": "resnet18@x.pt", "arguments": {"width": {"a": 1}}}, "width"),
        ({"source": "resnet18@x.pt", "arguments": {"num_classes": 3}}, "num_classes"),
    ],
)
def test_arguments_of_a_teacher_choose_an_architecture_only(
    teacher: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = recipe(tmp_path, method={"name": "rslad"}, teachers={"teacher": teacher})
    with pytest.raises(RecipeError, match=message):
        load_recipe(path).build()


@pytest.mark.parametrize("arguments", [{"shape": [1, 2, 3]}, {"num_classes": 3}, {"name": "x"}, {"mean": [1.0]}])
def test_arguments_of_a_student_too(arguments: dict[str, Any], tmp_path: Path) -> None:
    path = recipe(tmp_path, student={"architecture": "resnet18", "arguments": arguments})
    with pytest.raises(RecipeError, match="is no argument of an architecture"):
        load_recipe(path).build()


def test_names_in_a_recipe_are_names_of_a_table_not_of_code(tmp_path: Path) -> None:
    for changes in (
        {"method": {"name": "os.system"}},
        {"student": {"architecture": "builtins.eval"}},
        {"data": {"name": "os:system"}},
        {"training": {"optimizer": {"name": "__import__('os')"}}},
    ):
        with pytest.raises(RobustillError):
            load_recipe(recipe(tmp_path, **changes)).build()
