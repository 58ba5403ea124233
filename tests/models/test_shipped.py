"""The trained models in the package: they are what their cards say."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

from robustill import evaluate, load_data
from robustill.catalogue import models
from robustill.errors import ModelError
from robustill.models import file_digest, load_model
from robustill.recipe import load_recipe
from robustill.shipped import shipped_models

ROOT = Path(__file__).parents[2]
NAMES = list(shipped_models())


def card(name: str) -> str:
    return shipped_models()[name].with_suffix(".md").read_text()


def share(name: str, row: str) -> float:
    found = re.search(rf"^\| {re.escape(row)} \| ([\d.]+) %", card(name), re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_there_is_a_small_one_of_each_kind() -> None:
    kinds = {(name.partition("_")[0], name.rpartition("_")[2]) for name in NAMES}
    assert kinds >= {("digits", "cnn-small"), ("digits", "resnet18")}
    assert kinds >= {("fashion-mnist", "cnn-small"), ("fashion-mnist", "resnet18")}


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_what_its_card_says(name: str) -> None:
    path = shipped_models()[name]
    assert path.stat().st_size < 5_000_000
    assert f"`{file_digest(path)}`" in card(name)
    assert card(name).startswith(f"# robustill:{name}\n")
    model, recipe = load_model(f"robustill:{name}"), load_recipe(name)
    assert model.spec.name == recipe.student.architecture
    assert dict(model.spec.arguments) == recipe.student.arguments
    assert model.extra["method"] == recipe.method.name
    assert f"eps {recipe.eps():g} |" in card(name)
    assert not model.training
    assert share(name, "AutoAttack (standard)") <= share(name, "PGD-20") <= share(name, "Clean accuracy")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("digits_")])
def test_the_accuracy_on_digits_is_the_cards(name: str) -> None:
    data = load_data("digits", validation=0.1)
    found = evaluate(
        load_model(f"robustill:{name}"),
        data,
        eps=load_recipe(name).eps(),
        attacks=["pgd20"],
        checks=False,
        progress=False,
    )
    assert 100 * found.accuracy("clean") == pytest.approx(share(name, "Clean accuracy"), abs=0.06)
    # Searches in bfloat16 may differ in an image or two between machines.
    assert 100 * found.accuracy("pgd20") == pytest.approx(share(name, "PGD-20"), abs=1.0)


def test_they_are_listed_and_teach() -> None:
    listed = dict(models())
    assert {f"robustill:{name}" for name in NAMES} <= set(listed)
    assert "% AutoAttack, Linf eps 0.15" in listed["robustill:digits_mtard_cnn-small"]
    recipe = load_recipe("digits_rslad_cnn-small", ["teachers.teacher=robustill:digits_pgd-at_resnet18"])
    method, data = recipe.build()
    x, y = next(iter(data.batches(0, batch_size=4)))
    assert torch.isfinite(method(x, y).total)


def test_an_unknown_one_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="comes with no model 'digits_mtard_cnn-smal'") as caught:
        load_model("robustill:digits_mtard_cnn-smal")
    assert "digits_mtard_cnn-small" in (caught.value.hint or "")
    with pytest.raises(ModelError) as caught:
        load_model("digits_mtard_cnn-small")
    assert caught.value.hint == 'write "robustill:digits_mtard_cnn-small"'
    with pytest.raises(ModelError, match="take no arguments"):
        load_model("robustill:digits_mtard_cnn-small", width=8)
    with pytest.raises(ModelError, match="the model has 10 classes"):
        load_model("robustill:digits_mtard_cnn-small", num_classes=7)


def test_a_wheel_takes_the_whole_package() -> None:
    """Whatever lies in the package's folder and is not ignored gets into the wheel: the models, too."""
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert tree["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/robustill"]
    ignored = (ROOT / ".gitignore").read_text().split()
    assert not {"*.safetensors", "*.md", "zoo/", "zoo"} & set(ignored)
    assert all(path.is_relative_to(ROOT / "src" / "robustill") for path in shipped_models().values())
