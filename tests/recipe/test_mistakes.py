"""Every mistake in a recipe is one error that names the key and what is near it."""

from pathlib import Path
from typing import Any

import pytest

from robustill.errors import ModelError, RecipeError
from robustill.methods import METHODS
from robustill.recipe import load_recipe, parse_recipe
from tests.recipe.tables import PLAIN, with_key

PAIR = ("teacher_adv", "teacher_nat")
NEEDED = {
    **dict.fromkeys(("kd", "ard", "iad", "akd", "rslad", "absld", "adaad", "adaiad", "dgad", "saad"), ("teacher",)),
    "faithful": ("teacher",),
    **dict.fromkeys(("akd2", "mtard", "bmtard", "ciard"), PAIR),
    **dict.fromkeys(("hat", "vfd_adv"), ("teacher_nat",)),
    "lbgat": ("guide",),
    "peeraid": ("peer",),
}


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
        ("training.guides.peer.optimiser", "optimizer"),
        ("training.guides.peer.optimizer.lrr", "lr"),
    ],
)
def test_a_typo_in_a_key_names_the_key_and_the_nearest(key: str, meant: str) -> None:
    found = error(with_key(key, 1))
    assert found.message == f"my.toml: {key}: unknown key"
    assert found.hint == f"did you mean '{meant}'?"


def test_an_argument_of_the_architecture_beside_it() -> None:
    tree = with_key("student.width", 8)
    tree["student"]["architecture"] = "resnet18"
    found = error(tree)
    assert found.message == "my.toml: student.width: unknown key"
    assert found.hint == "it is an argument of resnet18: student.arguments.width"
    tree["student"]["architecture"] = "cnn_small"  # has none
    assert error(tree).hint == "did you mean 'weights'?"


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
    assert found.message == "method.name: unknown method 'rslda'"
    assert found.hint is not None
    assert found.hint.startswith("did you mean 'rslad'? One of your own: robustill --import MODULE")


def test_an_architecture_of_ones_own_is_told_how_it_gets_known() -> None:
    own = {**with_key("student.architecture", "zzz"), "method": {"name": "standard"}, "teachers": {}}
    with pytest.raises(ModelError, match=r"'zzz'\n  hint: choose one of: .*\. One of your own: robustill --import"):
        parse_recipe(own).build()


def test_a_typo_in_an_evaluation_attack_comes_to_light_before_training() -> None:
    found = error(with_key("evaluation.attacks", ["fgsm", "pdg20"]), build=True)
    assert (found.message, found.hint) == ("evaluation.attacks: unknown attack 'pdg20'", "did you mean 'pgd20'?")


def test_a_typo_in_a_teacher() -> None:
    found = error({**PLAIN, "teachers": {"techer": "x"}}, build=True)
    assert (found.message, found.hint) == ("teachers.techer: rslad takes no such network", "did you mean 'teacher'?")


def test_a_teacher_for_a_method_without() -> None:
    found = error({**PLAIN, "method": {"name": "trades"}}, build=True)
    assert found.hint == "trades takes no teacher: remove the [teachers] table"


def test_every_method_that_needs_a_network_is_here() -> None:
    alone = {"standard", "pgd_at", "trades", "mart", "ibp", "crown_ibp"}
    assert set(NEEDED) == set(METHODS) - alone - {"igdm", "fair_ard", "soften"}


@pytest.mark.parametrize("name", NEEDED)
def test_missing_teachers_are_named_with_the_way_to_give_them(name: str) -> None:
    wraps = name == "vfd_adv"
    table = {"name": name, "base": {"name": "pgd_at"}} if wraps else {"name": name}
    found = error({**PLAIN, "method": table, "teachers": {}}, build=True)
    called = f"{name}(pgd_at)" if wraps else name
    assert found.message == f"teachers: {called} needs {', '.join(NEEDED[name])}"
    for network in NEEDED[name]:
        what = "ARCHITECTURE" if network in ("peer", "guide") else "RUN_OR_FILE"
        assert f"--set teachers.{network}={what}" in (found.hint or "")


def test_one_of_two_teachers_is_missing() -> None:
    found = error({**PLAIN, "method": {"name": "mtard"}, "teachers": {"teacher_adv": "x"}}, build=True)
    assert found.message == "teachers: mtard needs teacher_nat"


def test_an_untrained_architecture_is_no_teacher() -> None:
    found = error({**PLAIN, "teachers": {"teacher": "cnn_wide"}}, build=True)
    assert found.message == "teacher 'cnn_wide' is an architecture without trained weights"
    assert found.hint == "name a run folder or a file"


@pytest.mark.parametrize(("method", "teacher"), [("rslad", ["a", "b"]), ("rslad", ["a"]), ("bmtard", [])])
def test_a_list_where_one_network_is_meant(method: str, teacher: list[str]) -> None:
    names = NEEDED[method]
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
        ("training.mixed_precision", "fp8", "'no', 'bf16' or 'auto'"),
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
