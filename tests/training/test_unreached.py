"""Settings that begin after the last epoch are told of, and those that act are not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from robustill.attacks import PGD
from robustill.data import load_data
from robustill.methods import ARD, CIARD, IAD, PeerAiD, Soften
from robustill.models import build_model
from robustill.recipe import load_recipe, shipped_recipes
from robustill.training import Settings, train
from robustill.training.hyperparameters import hyperparameters
from robustill.training.unreached import tell_unreached, unreached, unread

ATTACK = PGD(eps=0.1, step_size=0.1, steps=1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"average": {"name": "ema", "start": 4}}, []),
        ({"average": {"name": "ema", "start": 5}}, ["average.start = 5"]),
        ({"average": {"start": 5}}, []),
        ({"awp": {"gamma": 0.01, "warmup": 4}}, []),
        ({"awp": {"gamma": 0.01, "warmup": 5}}, ["awp.warmup = 5"]),
        ({"awp": {"warmup": 5}}, []),
        ({"schedule": {"milestones": [2, 4]}}, []),
        ({"schedule": {"milestones": [2, 5, 7.5]}}, ["schedule.milestones 5, 7.5"]),
        ({"schedule": {"name": "cosine", "milestones": [5]}}, []),
        ({"schedule": {"name": "cosine", "start": 5}}, ["schedule.start = 5"]),
        ({"schedule": {"name": "piecewise", "start": 5}}, []),
        ({"schedule": {"warmup_epochs": 4}}, []),
        ({"schedule": {"warmup_epochs": 5}}, ["the peak after schedule.warmup_epochs = 5"]),
        (
            {"guides": {"peer": {"schedule": {"name": "cosine", "start": 6}}}},
            ["guides.peer.schedule.start = 6"],
        ),
    ],
    ids=str,
)
def test_of_settings(changes: dict[str, Any], told: list[str]) -> None:
    assert list(unreached(Settings.model_validate({"epochs": 5, **changes}), {})) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"schedule": {"name": "one_cycle", "warmup": 0.1}}, []),
        ({"schedule": {"name": "cosine", "warmup": 0.1}}, ["schedule.warmup = 0.1 (one_cycle)"]),
        ({"schedule": {"name": "one_cycle", "milestones": [2]}}, ["schedule.milestones = (2.0,) (piecewise)"]),
        ({"schedule": {"start": 2}}, ["schedule.start = 2.0 (cosine)"]),
        ({"optimizer": {"name": "adamw", "momentum": 0.5}}, ["optimizer.momentum = 0.5 (sgd)"]),
        ({"average": {"decay": 0.9}}, ["average.decay = 0.9 (ema)"]),
        ({"average": {"name": "swa", "start": 1, "decay": 0.9}}, ["average.decay = 0.9 (ema)"]),
        ({"awp": {"warmup": 2}}, ["awp.warmup = 2 (awp.gamma)"]),
        (
            {"guides": {"peer": {"optimizer": {"name": "adamw", "nesterov": True}}}},
            ["guides.peer.optimizer.nesterov = True (sgd)"],
        ),
    ],
    ids=str,
)
def test_settings_that_nothing_reads(changes: dict[str, Any], told: list[str]) -> None:
    assert list(unread(Settings.model_validate({"epochs": 5, **changes}))) == told


def test_no_shipped_recipe_has_settings_that_nothing_reads() -> None:
    for name in shipped_recipes():
        assert not list(unread(load_recipe(name).training)), name


def test_of_methods_also_inside_wrappers(capsys: pytest.CaptureFixture[str]) -> None:
    data = load_data("digits", limit=40)
    student, teacher = (build_model("cnn_small", num_classes=10, shape=data.shape) for _ in range(2))
    method = Soften(IAD(student, teacher, begin=1, attack=ATTACK))
    assert list(unreached(Settings(epochs=1), hyperparameters(method))) == ["base.begin = 1"]
    assert list(unreached(Settings(epochs=2), hyperparameters(method))) == []
    train(IAD(student, teacher, attack=ATTACK), data, epochs=1, progress=False)
    assert "note: never reached in 1 epoch: begin = 60\n" in capsys.readouterr().err
    train(ARD(student, teacher, attack=ATTACK), data, epochs=1, progress=False)
    assert "never reached" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("average", "told"),
    [
        ({"name": "ema"}, "0.999 averages some 1000 steps, and there are 100: .* 0.9 averages a tenth of the run"),
        ({"name": "ema", "decay": 0.99, "start": 3}, "0.99 averages some 100 steps, and there are 40"),
        ({"name": "ema", "decay": 0.98}, None),
        ({"name": "ema", "decay": 0.999, "start": 5}, None),
        ({"name": "swa", "decay": 0.999}, None),
    ],
    ids=str,
)
def test_an_average_over_more_steps_than_there_are(
    average: dict[str, Any], told: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_unreached(Settings.model_validate({"epochs": 5, "average": average}), {}, 20)
    said = capsys.readouterr().err
    assert ("average.decay" in said) == (told is not None)
    assert told is None or re.search(told, said)


@pytest.mark.parametrize("name", shipped_recipes())
def test_nothing_that_a_shipped_recipe_says_comes_too_late(name: str) -> None:
    recipe = load_recipe(name)
    assert list(unreached(recipe.training, recipe.method.model_extra or {})) == []


def test_a_robust_teacher_that_learns_at_the_students_rate(capsys: pytest.CaptureFixture[str]) -> None:
    data = load_data("digits", limit=40)
    networks = [build_model("cnn_small", num_classes=10, shape=data.shape) for _ in range(3)]
    guided = {"begin": 0, "attack": ATTACK}
    train(CIARD(*networks, **guided), data, epochs=1, progress=False)
    told = (
        "note: teacher_adv was trained before and goes on by the student's optimizer, lr 0.1, which may undo what it "
    )
    assert f"{told}knows; training.guides.teacher_adv.optimizer is its own\n" in capsys.readouterr().err
    settings = Settings.model_validate({"epochs": 1, "guides": {"teacher_adv": {"optimizer": {"lr": 1e-4}}}})
    train(CIARD(*networks, **guided), data, settings, progress=False)
    assert "goes on" not in capsys.readouterr().err
    # A fresh peer learns as the student does.
    train(PeerAiD(*networks[:2], attack=ATTACK), data, epochs=1, progress=False)
    assert "goes on" not in capsys.readouterr().err
