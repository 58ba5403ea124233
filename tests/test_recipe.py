"""Recipes: every mistake is one error that names the key and what is near it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from robustill.attacks import PGD
from robustill.errors import RecipeError
from robustill.methods import BMTARD, METHODS, MTARD, RSLAD
from robustill.methods.card import networks
from robustill.models import MODELS, build_model, load_model, save_model
from robustill.recipe import Recipe, find_recipe, load_recipe, parse_recipe, shipped_recipes
from robustill.training import Settings
from robustill.training.schedule import lr_scale

RECIPES = shipped_recipes()
DIGITS = [name for name in RECIPES if name.startswith("digits_")]
PLAIN: dict[str, Any] = {
    "data": {"name": "digits"},
    "student": {"architecture": "cnn_small"},
    "method": {"name": "rslad"},
    "teachers": {"teacher": "nowhere"},
}


def write(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text)
    return path


def with_key(key: str, value: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {name: dict(table) for name, table in PLAIN.items()}
    *path, last = key.split(".")
    table = tree
    for part in path:
        table = table.setdefault(part, {})
    table[last] = value
    return tree


def error(tree: dict[str, Any], *, build: bool = False) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(tree, where="my.toml").build() if build else parse_recipe(tree, where="my.toml")
    return caught.value


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("studnet", "student"),
        ("data.nme", "name"),
        ("data.validaton", "validation"),
        ("student.architectur", "architecture"),
        ("attack.step", "steps"),
        ("attack.epss", "eps"),
        ("training.epoch", "epochs"),
        ("training.optimizer.lrr", "lr"),
        ("training.schedule.milestone", "milestones"),
        ("training.average.dcay", "decay"),
        ("training.awp.gama", "gamma"),
        ("training.selection.metrc", "metric"),
        ("evaluation.attack", "attacks"),
    ],
)
def test_a_typo_in_a_key_names_the_key_and_the_nearest(key: str, meant: str) -> None:
    found = error(with_key(key, 1))
    assert found.message == f"my.toml: {key}: unknown key"
    assert found.hint == f"did you mean '{meant}'?"


def test_a_key_like_no_other_gets_all_of_them() -> None:
    assert error(with_key("training.awp.qqqq", 1)).hint == "choose one of: gamma, warmup"


def test_a_typo_in_a_method_argument() -> None:
    found = error(with_key("method.alhpa", 0.5), build=True)
    assert found.message == "method.alhpa: rslad has no such argument"
    assert found.hint == "did you mean 'alpha'?"


def test_the_attack_is_no_method_argument() -> None:
    assert error(with_key("method.attack", 1), build=True).message == "method.attack: rslad has no such argument"


def test_a_method_without_arguments() -> None:
    tree = with_key("method.alpha", 0.5)
    tree["method"]["name"], tree["teachers"] = "standard", {}
    assert error(tree, build=True).hint == "standard has no arguments"


def test_a_typo_in_the_method_name() -> None:
    found = error(with_key("method.name", "rslda"), build=True)
    assert (found.message, found.hint) == ("method.name: unknown method 'rslda'", "did you mean 'rslad'?")


def test_a_typo_in_an_evaluation_attack_comes_to_light_before_training() -> None:
    found = error(with_key("evaluation.attacks", ["fgsm", "pdg20"]), build=True)
    assert (found.message, found.hint) == ("evaluation.attacks: unknown attack 'pdg20'", "did you mean 'pgd20'?")


def test_a_typo_in_a_teacher() -> None:
    found = error({**PLAIN, "teachers": {"techer": "x"}}, build=True)
    assert (found.message, found.hint) == ("teachers.techer: rslad takes no such network", "did you mean 'teacher'?")


def test_a_teacher_for_a_method_without() -> None:
    found = error({**PLAIN, "method": {"name": "trades"}}, build=True)
    assert found.hint == "trades takes no teacher: remove the [teachers] table"


@pytest.mark.parametrize("name", [name for name in METHODS if len(networks(METHODS[name])) > 1])
def test_missing_teachers_are_named_with_the_way_to_give_them(name: str) -> None:
    found = error({**PLAIN, "method": {"name": name}, "teachers": {}}, build=True)
    wanted = networks(METHODS[name])[1:]
    assert found.message == f"teachers: {name} needs {', '.join(wanted)}"
    for teacher in wanted:
        assert f"--set teachers.{teacher}=RUN_OR_FILE" in (found.hint or "")


def test_one_of_two_teachers_is_missing() -> None:
    found = error({**PLAIN, "method": {"name": "mtard"}, "teachers": {"teacher_adv": "x"}}, build=True)
    assert found.message == "teachers: mtard needs teacher_nat"


def test_an_untrained_architecture_is_no_teacher() -> None:
    found = error({**PLAIN, "teachers": {"teacher": "cnn_wide"}}, build=True)
    assert found.message == "teacher 'cnn_wide' is an architecture without trained weights"
    assert found.hint == "name a run folder or a file"


@pytest.mark.parametrize(("method", "teacher"), [("rslad", ["a", "b"]), ("rslad", ["a"]), ("bmtard", [])])
def test_a_list_where_one_network_is_meant(method: str, teacher: list[str]) -> None:
    names = networks(METHODS[method])[1:]
    found = error({**PLAIN, "method": {"name": method}, "teachers": dict.fromkeys(names, teacher)}, build=True)
    assert found.message == f"teachers.{names[0]} = {teacher}: {method} cannot be taught by that"


def test_no_attack_table_for_a_method_without_adversary() -> None:
    tree = with_key("attack.eps", 0.1)
    tree["method"]["name"], tree["teachers"] = "standard", {}
    found = error(tree, build=True)
    assert (found.message, found.hint) == ("attack: standard has no training attack", "remove the [attack] table")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("data.validation", "some", "valid number"),
        ("data.validation", -0.1, "greater than or equal to 0"),
        ("data.limit", 0, "greater than or equal to 1"),
        ("data.name", 3, "valid string"),
        ("student.arguments", [1], "valid dictionary"),
        ("teachers.teacher", 5, "valid string"),
        ("teachers.teacher", ["a", 5], "valid string"),
        ("method.name", 3, "valid string"),
        ("attack.eps", "8/0", "a fraction over zero"),
        ("attack.eps", "eight", "valid number"),
        ("attack.eps", float("nan"), "finite number"),
        ("attack.norm", "L1", "'Linf' or 'L2'"),
        ("attack.steps", 2.5, "valid integer"),
        ("training", 3, "valid dictionary"),
        ("training.epochs", "ten", "valid integer"),
        ("training.mixed_precision", "fp8", "'no' or 'bf16'"),
        ("training.optimizer", 3, "valid dictionary"),
        ("training.optimizer.name", "lion", "'sgd' or 'adamw'"),
        ("training.optimizer.lr", -1, "greater than 0"),
        ("evaluation.attacks", "fgsm", "valid tuple"),
    ],
)
def test_a_wrong_value_names_its_key_once(key: str, value: Any, reason: str) -> None:
    found = error(with_key(key, value))
    assert found.message.startswith(f"my.toml: {key} = {value!r}: ")
    assert reason in found.message
    assert found.message.count(key) == 1
    assert found.hint is None


@pytest.mark.parametrize("value", ["high", "5/0", True, [1], float("nan"), float("inf")])
def test_a_wrong_value_of_a_method_argument(value: Any) -> None:
    assert error(with_key("method.alpha", value), build=True).message.startswith(f"method.alpha: {value!r} is no value")


def test_what_is_missing_is_named() -> None:
    found = error({"data": {"name": "digits"}, "method": {}})
    assert found.message == "my.toml: student: missing; method.name: missing"


def test_several_mistakes_are_one_error() -> None:
    tree = with_key("training.epoch", 1)
    tree["data"]["limit"] = 0
    found = error(tree)
    assert "training.epoch: unknown key" in found.message
    assert "data.limit = 0" in found.message


@pytest.mark.parametrize("text", ["data = [", "\xff", "a = 1\na = 2"])
def test_what_is_not_toml(text: str, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError, match=r"my\.toml is not TOML"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("training.epochs=3", lambda r: r.training.epochs, 3),
        (" training.epochs = 3", lambda r: r.training.epochs, 3),
        ("training.optimizer.lr=1e-3", lambda r: r.training.optimizer.lr, 1e-3),
        ("training.optimizer.nesterov=false", lambda r: r.training.optimizer.nesterov, False),
        ("attack.eps=8/255", lambda r: r.attack.eps, 8 / 255),
        ('attack.eps="8/255"', lambda r: r.attack.eps, 8 / 255),
        ("evaluation.eps=1/10", lambda r: r.evaluation.eps, 0.1),
        ("teachers.teacher=runs/my run", lambda r: r.teachers["teacher"], "runs/my run"),
        ('teachers.teacher=["a", "b"]', lambda r: r.teachers["teacher"], ("a", "b")),
        ("training.schedule.milestones=[2, 3.5]", lambda r: r.training.schedule.milestones, (2, 3.5)),
        ('evaluation.attacks=["fgsm"]', lambda r: r.evaluation.attacks, ("fgsm",)),
        ("training.average={name = 'ema', decay = 0.9}", lambda r: r.training.average.decay, 0.9),
        ("student.arguments.width=4", lambda r: r.student.arguments, {"width": 4}),
        ("method.alpha=0.5", lambda r: r.method.model_extra, {"alpha": 0.5}),
        ("title=a = b", lambda r: r.title, "a = b"),
        ("title=", lambda r: r.title, ""),
    ],
)
def test_set(override: str, read: Any, value: Any) -> None:
    assert read(load_recipe("digits_rslad_cnn-small", [override])) == value


def test_the_last_set_wins() -> None:
    assert load_recipe("digits_rslad_cnn-small", ["training.epochs=3", "training.epochs=4"]).training.epochs == 4


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training..epochs=3", ".epochs=3", "", "training.=3"])
def test_what_is_not_key_equals_value(override: str) -> None:
    with pytest.raises(RecipeError, match="is not KEY=VALUE"):
        load_recipe("digits_rslad_cnn-small", [override])


def test_set_below_a_value() -> None:
    with pytest.raises(RecipeError, match=r"--set data\.name\.first: 'name' is not a table"):
        load_recipe("digits_rslad_cnn-small", ["data.name.first=3"])


def test_a_typo_in_set() -> None:
    with pytest.raises(RecipeError, match=r"training\.epoch: unknown key\s+hint: did you mean 'epochs'\?"):
        load_recipe("digits_rslad_cnn-small", ["training.epoch=3"])


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


def teacher(path: Path) -> Path:
    torch.manual_seed(7)
    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), path)
    return path


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
    for source in recipe.teachers.values():
        assert isinstance(source, str)
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
    text = '[data]\nname="digits"\n[student]\narchitecture="cnn_small"\n[method]\nname="pgd_at"\n'
    assert load_recipe(write(tmp_path, text), changes).eps() == eps


def test_a_method_without_attack_needs_a_radius() -> None:
    recipe = parse_recipe({**PLAIN, "method": {"name": "standard"}, "teachers": {}})
    with pytest.raises(RecipeError, match=r"standard has no attack[^\n]*\n\s+hint: set evaluation\.eps"):
        recipe.eps()


def test_find_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert find_recipe(path) == path
    (tmp_path / "recipe.toml").write_text("")
    assert find_recipe(tmp_path) == tmp_path / "recipe.toml"
    assert find_recipe("digits_rslad_cnn-small") == RECIPES["digits_rslad_cnn-small"]
    with pytest.raises(RecipeError, match=r"no recipe 'digits_rslad_cnn'.*\n.*did you mean 'digits_rslad_cnn-small'"):
        find_recipe("digits_rslad_cnn")
    with pytest.raises(RecipeError, match="no recipe"):
        find_recipe(tmp_path / "missing.toml")


def test_a_recipe_does_not_change() -> None:
    recipe: Any = parse_recipe(PLAIN)
    assert isinstance(recipe, Recipe)
    with pytest.raises(ValueError, match="frozen"):
        recipe.title = "other"
