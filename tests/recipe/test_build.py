"""From a recipe to objects, to a radius, and back to TOML."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from robustill.attacks import PGD
from robustill.data import Augment
from robustill.errors import RecipeError
from robustill.methods import BMTARD, MTARD, RSLAD
from robustill.models import build_model, load_model
from robustill.recipe import Recipe, find_recipe, load_recipe, parse_recipe, shipped_recipes
from robustill.training import Settings
from tests.recipe.tables import PLAIN, teacher, with_key, write

SHORT = '[data]\nname="digits"\n[student]\narchitecture="cnn_small"\n[method]\nname="pgd_at"\n'


def test_a_fraction_reaches_the_method(tmp_path: Path) -> None:
    teacher(tmp_path / "t.safetensors")
    changes = [
        "method.alpha=5/8",
        "attack.eps=8/255",
        "attack.step_size=2/255",
        f"teachers.teacher={tmp_path}/t.safetensors",
    ]
    method, _ = load_recipe("digits_rslad_cnn-small", changes).build()
    assert isinstance(method, RSLAD)
    assert method.alpha == 0.625
    assert method.attack == PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian")


def test_the_written_recipe_holds_every_default(tmp_path: Path) -> None:
    tree = tomllib.loads(parse_recipe(PLAIN).to_toml())
    assert tree["training"]["optimizer"] == Settings().optimizer.model_dump()
    assert tree["data"] == {"name": "digits", "validation": 0.1, "seed": 0}
    assert tree["evaluation"]["attacks"] == ["fgsm", "pgd20", "cw"]


def test_the_round_trip_keeps_arguments_and_lists(tmp_path: Path) -> None:
    tree = with_key("student.arguments.width", 4)
    tree["method"] |= {"name": "bmtard", "weight_rate": "1/40"}
    tree["teachers"] = {"teacher_adv": ["a", "b"], "teacher_nat": "c"}
    recipe = parse_recipe(tree)
    again = load_recipe(write(tmp_path, recipe.to_toml()))
    assert again == recipe
    assert again.teachers["teacher_adv"] == ("a", "b")


def test_several_teachers_are_loaded_in_order(tmp_path: Path) -> None:
    path = teacher(tmp_path / "t.safetensors")
    recipe = load_recipe(
        "digits_bmtard_cnn-small",
        [f'teachers.teacher_adv=["{path}", "{path}"]', f"teachers.teacher_nat={path}"],
    )
    method, _ = recipe.build()
    assert isinstance(method, BMTARD)
    assert len(method.names) == 3
    assert not isinstance(method, MTARD)


def test_the_student_follows_the_seed_and_the_weights(tmp_path: Path) -> None:
    def weights(*changes: str) -> torch.Tensor:
        method, _ = load_recipe("digits_pgd-at_cnn-small", changes).build()
        return next(method.student.parameters()).detach()

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(), weights("training.seed=1"))
    path = teacher(tmp_path / "t.safetensors")
    assert torch.equal(weights(f"student.weights={path}"), next(load_model(path).parameters()))


def test_normalize_takes_the_statistics_of_the_training_images() -> None:
    method, data = load_recipe("digits_pgd-at_cnn-small", ["student.normalize=true"]).build()
    pixels = data.train.images(torch.arange(len(data.train))).double() / 255
    spec: Any = method.student
    assert spec.spec.mean == pytest.approx([float(pixels.mean())], rel=1e-5)
    assert spec.spec.std == pytest.approx([float(pixels.std())], rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "eps"),
    [
        (["evaluation.eps=0.2", "attack.eps=0.3"], 0.2),
        (["attack.eps=0.3"], 0.3),
        (["evaluation.eps=0", "attack.eps=0.3"], 0.0),
        ([], 8 / 255),
    ],
)
def test_the_radius_of_evaluation(changes: list[str], eps: float, tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, SHORT), changes).eps() == eps


def test_a_method_without_attack_needs_a_radius() -> None:
    recipe = parse_recipe({**PLAIN, "method": {"name": "standard"}, "teachers": {}})
    with pytest.raises(RecipeError, match=r"standard has no attack[^\n]*\n\s+hint: set evaluation\.eps"):
        recipe.eps()


def test_find_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert find_recipe(path) == path
    (tmp_path / "recipe.toml").write_text("")
    assert find_recipe(tmp_path) == tmp_path / "recipe.toml"
    assert find_recipe("digits_rslad_cnn-small") == shipped_recipes()["digits_rslad_cnn-small"]
    with pytest.raises(RecipeError, match=r"no recipe 'digits_rslad_cnn'.*\n.*did you mean 'digits_rslad_cnn-small'"):
        find_recipe("digits_rslad_cnn")
    with pytest.raises(RecipeError, match="no recipe"):
        find_recipe(tmp_path / "missing.toml")


def test_a_recipe_does_not_change() -> None:
    recipe: Any = parse_recipe(PLAIN)
    assert isinstance(recipe, Recipe)
    with pytest.raises(ValueError, match="frozen"):
        recipe.title = "other"


def test_a_teacher_table_carries_a_normalisation_that_its_file_lacks(tmp_path: Path) -> None:
    plain = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    torch.save(plain.state_dict(), tmp_path / "teacher.pt")
    source = f"cnn_small@{tmp_path / 'teacher.pt'}"
    sets = [f'teachers.teacher={{source = "{source}", mean = [0.5], std = [0.25]}}']
    recipe = load_recipe("digits_rslad_cnn-small", sets)
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe
    method, data = recipe.build()
    x, _ = next(iter(data.test.batches(4)))
    expected = plain.eval()((x - 0.5) / 0.25)
    torch.testing.assert_close(method.teacher(x), expected)


def test_the_data_table_changes_the_augmentation() -> None:
    recipe = load_recipe("digits_pgd-at_cnn-small", ["data.crop=1", "data.flip=true"])
    assert recipe.data_set().augment == Augment(crop=1, flip=True)
    assert load_recipe("digits_pgd-at_cnn-small").data_set().augment == Augment()


@pytest.mark.parametrize(
    ("changes", "norm", "eps"),
    [
        (["attack.norm=L2", "attack.eps=0.5"], "L2", 0.5),
        (["attack.norm=L2", "attack.eps=0.5", "evaluation.norm=Linf", "evaluation.eps=0.1"], "Linf", 0.1),
        (["attack.norm=L2", "attack.eps=0.5", "evaluation.eps=0.25"], "L2", 0.25),
        ([], "Linf", 8 / 255),
    ],
    ids=str,
)
def test_evaluation_has_the_norm_of_the_training_attack(
    changes: list[str], norm: str, eps: float, tmp_path: Path
) -> None:
    recipe = load_recipe(write(tmp_path, SHORT), changes)
    assert (recipe.norm(), recipe.eps(), recipe.eps(norm)) == (norm, eps, eps)
    assert parse_recipe(tomllib.loads(recipe.to_toml())).norm() == norm


@pytest.mark.parametrize(
    ("changes", "asked", "own"),
    [
        ([], "L2", "Linf"),
        (["evaluation.eps=0.1"], "L2", "Linf"),
        (["attack.norm=L2", "attack.eps=0.5"], "Linf", "L2"),
        (["attack.norm=L2", "attack.eps=0.5", "evaluation.norm=Linf"], None, "L2"),
    ],
    ids=str,
)
def test_a_radius_says_nothing_of_another_norm(changes: list[str], asked: str | None, own: str, tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SHORT), changes)
    with pytest.raises(RecipeError, match=f"is one of {own}, and says nothing of") as told:
        recipe.eps(asked)
    wanted = asked or "Linf"
    assert told.value.hint == f"give one of {wanted}: --eps, evaluation.eps of a recipe, or evaluate.eps of a study"
