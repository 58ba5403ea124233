"""Every recipe that comes with robustill."""

from pathlib import Path

import pytest

from robustill.methods import METHODS
from robustill.methods.card import networks
from robustill.models import MODELS
from robustill.recipe import load_recipe, shipped_recipes
from robustill.training.schedule import lr_scale
from tests.recipe.tables import teacher, write

RECIPES = shipped_recipes()


DIGITS = [name for name in RECIPES if name.startswith("digits_")]


def test_there_are_recipes_for_every_method_on_digits() -> None:
    assert {load_recipe(name).method.name for name in DIGITS} == set(METHODS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_is_what_its_name_says(name: str) -> None:
    recipe = load_recipe(name)
    student = recipe.student.architecture
    assert name == "_".join(part.replace("_", "-") for part in (recipe.data.name, recipe.method.name, student))
    assert student in MODELS
    assert recipe.title
    assert set(recipe.teachers) == set(networks(METHODS[recipe.method.name])[1:])
    method, arguments = recipe._method()
    assert method is METHODS[recipe.method.name]
    assert recipe.eps() > 0
    if "attack" in arguments:
        # TRADES and MART were published with 0.031 in training and 8/255 in evaluation.
        assert arguments["attack"].eps == pytest.approx(recipe.eps(), rel=0.02)
    recipe._check_evaluation()


def test_the_published_schedule_of_rslad() -> None:
    training = load_recipe("cifar10_rslad_resnet18").training
    found = [training.optimizer.lr * lr_scale(training.schedule, epoch, training.epochs) for epoch in range(300)]
    assert training.epochs == 300
    assert found == pytest.approx([0.1] * 215 + [0.01] * 45 + [0.001] * 25 + [0.0001] * 15, rel=1e-12)


@pytest.mark.parametrize("name", RECIPES)
def test_the_teachers_of_a_shipped_recipe_are_made_by_shipped_recipes(name: str) -> None:
    recipe = load_recipe(name)
    for each in recipe.teachers.values():
        assert not isinstance(each, tuple)
        source = each if isinstance(each, str) else each.source
        made_by = Path(source).name
        if source.startswith("runs/"):
            assert made_by in RECIPES, made_by
            assert load_recipe(made_by).data.name == recipe.data.name


@pytest.mark.parametrize("name", RECIPES)
def test_toml_round_trip(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, ["training.average.name=swa", "attack.eps=8/255"] if "standard" not in name else [])
    again = load_recipe(write(tmp_path, recipe.to_toml()))
    assert again == recipe
    assert again.to_toml() == recipe.to_toml()


@pytest.mark.parametrize("name", DIGITS)
def test_a_digits_recipe_builds(name: str, tmp_path: Path) -> None:
    path = teacher(tmp_path / "t.safetensors")
    wanted = networks(METHODS[load_recipe(name).method.name])[1:]
    recipe = load_recipe(name, [f"teachers.{each}={path}" for each in wanted])
    method, data = recipe.build()
    assert type(method) is METHODS[recipe.method.name]
    assert (data.name, data.num_classes, data.shape) == ("digits", 10, (1, 8, 8))
    x, y = next(iter(data.batches(0, batch_size=4)))
    method.train()
    loss = method(x, y)
    loss.total.backward()
    assert all(weight.grad is not None for weight in method.student.parameters())
