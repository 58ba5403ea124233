"""From the `[method]` table to a method: wrappers, networks that learn beside the student, and where things go."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustill.attacks import PGD
from robustill.errors import InputError, RecipeError, RobustillError, nearest_or_own
from robustill.methods import AKD, ARD, IAD, IGDM, FairARD, Method, PeerAiD, VFDAdv
from robustill.models import build_model, load_model, save_model
from robustill.recipe import load_recipe, parse_recipe
from robustill.recipe.method import plan
from robustill.recipe.tables import AttackTable, MethodTable
from tests.recipe.tables import teacher, tree, write

NESTED = {"name": "igdm", "alpha": 3, "base": {"name": "fair_ard", "beta": 1, "base": {"name": "ard", "alpha": "3/4"}}}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(teacher(tmp_path_factory.mktemp("teacher") / "t.safetensors"))


def built(method: dict[str, Any], teachers: dict[str, Any] | None = None, **tables: Any) -> Any:
    return parse_recipe(tree(method, teachers, **tables)).build()[0]


def error(method: dict[str, Any], teachers: dict[str, Any] | None = None, **tables: Any) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        built(method, teachers, **tables)
    return caught.value


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


@pytest.mark.parametrize("name", ["igdm", "fair_ard", "vfd_adv", "soften"])
def test_a_wrapper_without_a_base_is_one_error(name: str) -> None:
    found = error({"name": name}, {"teacher": "nowhere"})
    assert found.message == f"method: {name} wraps another method"
    assert found.hint == 'add a table [method.base] with name = "rslad", say'


def test_an_inner_wrapper_without_a_base_names_its_table() -> None:
    found = error({"name": "igdm", "base": {"name": "fair_ard"}}, {"teacher": "nowhere"})
    assert found.message == "method.base: fair_ard wraps another method"
    assert found.hint is not None
    assert "[method.base.base]" in found.hint


def test_a_base_under_a_method_that_wraps_nothing() -> None:
    found = error({"name": "rslad", "base": {"name": "ard"}}, {"teacher": "nowhere"})
    assert (found.message, found.hint) == ("method.base: rslad wraps no method", "remove the table [method.base]")


@pytest.mark.parametrize(
    ("method", "message", "hint"),
    [
        (
            {"name": "igdm", "base": {"name": "rslad", "alhpa": 0.5}},
            "method.base.alhpa: rslad has no such argument",
            "did you mean 'alpha'?",
        ),
        (
            {"name": "igdm", "base": {"name": "fair_ard", "base": {"name": "ard", "temperatur": 3}}},
            "method.base.base.temperatur: ard has no such argument",
            "did you mean 'temperature'?",
        ),
        (
            {"name": "fair_ard", "betta": 1, "base": {"name": "ard"}},
            "method.betta: fair_ard has no such argument",
            "did you mean 'beta'?",
        ),
        (
            {"name": "igdm", "base": {"name": "rslda"}},
            "method.base.name: unknown method 'rslda'",
            nearest_or_own("rslda", ["rslad"]),
        ),
    ],
)
def test_a_typo_inside_names_its_key(method: dict[str, Any], message: str, hint: str) -> None:
    found = error(method, {"teacher": "nowhere"})
    assert (found.message, found.hint) == (message, hint)


def test_a_base_that_lacks_a_name() -> None:
    assert error({"name": "igdm", "base": {}}).message == "recipe: method.base.name: missing"


def test_nested_wrappers_build_with_the_arguments_of_each(source: str) -> None:
    method = built(NESTED, {"teacher": source})
    assert [type(method), type(method.base), type(method.base.base)] == [IGDM, FairARD, ARD]
    assert (method.alpha, method.base.beta, method.base.base.alpha) == (3, 1, 0.75)
    assert method.student is method.base.base.student


def test_one_entry_is_the_network_of_wrapper_and_base(source: str) -> None:
    method = built({"name": "igdm", "base": {"name": "rslad"}}, {"teacher": source})
    assert method.teacher is method.base.teacher, "two would run the network twice"
    torch.testing.assert_close(weights(method.teacher.network), weights(load_model(source)))


def test_each_entry_goes_to_the_part_that_takes_it(source: str, tmp_path: Path) -> None:
    clean = build_model("cnn_wide", num_classes=10, shape=(1, 8, 8))
    save_model(clean, tmp_path / "clean.safetensors")
    networks = {"teacher": source, "teacher_nat": str(tmp_path / "clean.safetensors")}
    method = built({"name": "vfd_adv", "base": {"name": "ard"}}, networks)
    assert isinstance(method, VFDAdv)
    assert isinstance(method.base, ARD)
    assert torch.equal(weights(method.teacher_nat.network), weights(clean))
    assert torch.equal(weights(method.base.teacher.network), weights(load_model(source)))


def test_optional_networks_may_be_left_out(source: str) -> None:
    form_1 = built({"name": "iad"}, {"teacher": source})
    form_2 = built({"name": "iad"}, {"teacher": source, "teacher_nat": source})
    assert isinstance(form_1, IAD)
    assert form_1.teacher_nat is None
    assert form_2.teacher_nat is not None


def test_a_wrapper_may_take_over_the_network_of_its_base(source: str) -> None:
    method = built({"name": "igdm", "base": {"name": "akd2"}}, dict.fromkeys(("teacher_adv", "teacher_nat"), source))
    assert method.teacher is method.base.teacher_adv
    with pytest.raises(InputError, match="IGDM needs a teacher, and PGDAT has no single frozen one"):
        built({"name": "igdm", "base": {"name": "pgd_at"}})


def test_a_network_that_two_parts_take_is_required_if_one_needs_it_and_single_if_one_takes_one(source: str) -> None:
    alone = built({"name": "akd"}, {"teacher": [source, source]})
    assert isinstance(alone, AKD)
    assert len(alone.teachers) == 2
    wrapped: dict[str, Any] = {"name": "igdm", "base": {"name": "akd"}}
    assert error(wrapped).message == "teachers: igdm(akd) needs teacher"
    found = error(wrapped, {"teacher": [source, source]})
    assert found.message.endswith("igdm(akd) cannot be taught by that")
    assert found.hint == "name exactly one network"


@pytest.mark.parametrize(("name", "network"), [("peeraid", "peer"), ("lbgat", "guide")])
def test_a_missing_fresh_network_asks_for_an_architecture(name: str, network: str) -> None:
    found = error({"name": name})
    assert found.message == f"teachers: {name} needs {network}"
    assert found.hint == f"name each one: --set teachers.{network}=ARCHITECTURE"
    inner = error({"name": "igdm", "base": {"name": name}})
    assert inner.message == f"teachers: igdm({name}) needs {network}"


def test_a_fresh_network_differs_from_the_student_and_follows_the_seed() -> None:
    def pair(seed: int) -> PeerAiD:
        method = built({"name": "peeraid"}, {"peer": "cnn_small"}, training={"seed": seed})
        assert isinstance(method, PeerAiD)
        return method

    first, again, other = pair(0), pair(0), pair(1)
    assert not torch.equal(weights(first.peer), weights(first.student))
    assert torch.equal(weights(first.peer), weights(again.peer))
    assert torch.equal(weights(first.student), weights(again.student))
    assert not torch.equal(weights(first.peer), weights(other.peer))
    assert set(first.trained()) == {"student", "peer"}


def test_the_student_has_the_same_weights_with_and_without_a_peer() -> None:
    alone, peered = built({"name": "pgd_at"}), built({"name": "peeraid"}, {"peer": "cnn_small"})
    assert torch.equal(weights(alone.student), weights(peered.student))


def test_a_fresh_network_may_start_from_trained_weights_and_normalises_as_the_student(source: str) -> None:
    started = built({"name": "peeraid"}, {"peer": source})
    assert torch.equal(weights(started.peer), weights(load_model(source)))
    assert next(started.peer.parameters()).requires_grad
    student = {"architecture": "cnn_small", "normalize": True}
    fresh = built({"name": "peeraid"}, {"peer": "cnn_small"}, student=student)
    assert len(fresh.student.spec.mean) == 1
    assert fresh.peer.spec.mean == fresh.student.spec.mean
    own = built({"name": "peeraid"}, {"peer": {"source": "cnn_small", "mean": [0.5], "std": [0.5]}}, student=student)
    assert own.peer.spec.mean == (0.5,)


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("cnn_smal", "'cnn_smal' is neither an architecture nor a file or folder", "did you mean 'cnn_small'?"),
        (["cnn_small"], "teachers.peer = ['cnn_small']: peeraid cannot be taught by that", "name exactly one network"),
    ],
)
def test_a_wrong_fresh_network(entry: Any, message: str, hint: str) -> None:
    with pytest.raises(RobustillError) as caught:
        built({"name": "peeraid"}, {"peer": entry})
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_teacher_that_learns_on_needs_weights() -> None:
    found = error({"name": "ciard"}, {"teacher_adv": "cnn_small", "teacher_nat": "cnn_small"})
    assert found.message == "teacher 'cnn_small' is an architecture without trained weights"


def test_the_attack_goes_to_the_innermost_method(source: str) -> None:
    method = built(NESTED, {"teacher": source}, attack={"eps": "4/255", "steps": 3})
    assert method.base.base.attack == PGD(eps=4 / 255, step_size=2 / 255, steps=3, init="uniform")
    assert method.attack is method.base.base.attack


def test_the_attack_of_a_base_without_adversary() -> None:
    found = error({"name": "igdm", "base": {"name": "standard"}}, {"teacher": "nowhere"}, attack={"eps": 0.1})
    assert found.message == "attack: standard has no training attack"


@pytest.mark.parametrize(
    ("attack", "missing"),
    [
        ({}, "attack.eps and attack.step_size"),
        ({"eps": 0.5}, "attack.step_size"),
        ({"step_size": 0.1}, "attack.eps"),
        ({"eps": 0.5, "step_size": 0.1}, None),
    ],
    ids=str,
)
def test_another_norm_wants_its_own_radius_and_step(attack: dict[str, float], missing: str | None) -> None:
    table = {"norm": "L2", **attack}
    if missing is None:
        parts = plan(MethodTable.model_validate({"name": "pgd_at"}), AttackTable.model_validate(table)).parts
        assert (parts[-1].arguments["attack"].norm, parts[-1].arguments["attack"].eps) == ("L2", 0.5)
        return
    found = error({"name": "pgd_at"}, {}, attack=table)
    assert found.message == "attack.norm = 'L2': the method's own radius and step are of Linf"
    assert found.hint == f"also set {missing}"


@pytest.mark.parametrize(
    ("tables", "eps"),
    [({}, 0.031), ({"attack": {"eps": 0.2}}, 0.2), ({"attack": {"eps": 0.2}, "evaluation": {"eps": 0.1}}, 0.1)],
)
def test_the_radius_of_a_wrapper_is_that_of_its_base(tables: dict[str, Any], eps: float) -> None:
    recipe = parse_recipe(tree({"name": "igdm", "base": {"name": "trades"}}, {"teacher": "x"}, **tables))
    assert recipe.eps() == eps


def test_a_wrapper_around_a_method_without_attack_has_no_radius() -> None:
    recipe = parse_recipe(tree({"name": "igdm", "base": {"name": "kd"}}, {"teacher": "x"}))
    with pytest.raises(RecipeError, match=r"igdm has no attack, so there is no radius"):
        recipe.eps()


def test_wrappers_and_guides_round_trip(tmp_path: Path) -> None:
    guide = {"optimizer": {"name": "adamw", "lr": 0.001}, "schedule": {"name": "cosine", "start": 2, "damping": 0.5}}
    training = {"guides": {"peer": guide, "other": {"optimizer": {"lr": 0.5}}}}
    recipe = parse_recipe(tree(NESTED, {"teacher": "a", "peer": {"source": "b", "mean": [0.5]}}, training=training))
    again = load_recipe(write(tmp_path, recipe.to_toml()))
    assert again == recipe
    written = tomllib.loads(recipe.to_toml())
    assert written["method"] == NESTED
    assert written["training"]["guides"]["peer"]["schedule"]["damping"] == 0.5
    assert "schedule" not in written["training"]["guides"]["other"]
    assert again.training.guides["other"].schedule is None
    inner = again.method.base
    assert inner is not None
    assert inner.base is not None
    assert inner.base.model_extra == {"alpha": "3/4"}


def test_set_reaches_a_base_and_a_guide() -> None:
    changes = ["method.name=igdm", "method.base.name=rslad", "method.base.alpha=0.25"]
    recipe = load_recipe(
        "digits_pgd-at_cnn-small", [*changes, "teachers.teacher=x", "training.guides.a.optimizer.lr=2"]
    )
    assert recipe._plan().name == "igdm(rslad)"
    assert recipe._plan().parts[-1].arguments["alpha"] == 0.25
    optimizer = recipe.training.guides["a"].optimizer
    assert optimizer is not None
    assert optimizer.lr == 2


def test_a_built_wrapper_trains_its_own_part(source: str, tmp_path: Path) -> None:
    save_model(build_model("cnn_wide", num_classes=10, shape=(1, 8, 8)), tmp_path / "wide.safetensors")
    networks = {"teacher_nat": str(tmp_path / "wide.safetensors")}
    method: Method = built({"name": "vfd_adv", "base": {"name": "pgd_at"}}, networks, attack={"steps": 1})
    assert set(method.trained()) == {"student", "projection"}
    again = built({"name": "vfd_adv", "base": {"name": "pgd_at"}}, networks)
    assert torch.equal(weights(method.trained()["projection"]), weights(again.projection))


def test_an_argument_that_counts_takes_no_fraction(source: str) -> None:
    found = error({"name": "iad", "begin": 2.5}, {"teacher": source})
    assert found.message.startswith("method.begin: 2.5 is no value for begin")
    assert built({"name": "iad", "begin": 2}, {"teacher": source}).begin == 2
