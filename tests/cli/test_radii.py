"""Radii that do not go together are said before hours of training, and where numbers are made."""

import pytest

from robustill.recipe import load_recipe
from robustill.runs.radii import radius_notes, reach_notes
from robustill.shipped import shipped_recipes
from tests.cli.command import QUICK, Robustill


def test_another_radius_than_in_training_is_said(robustill: Robustill) -> None:
    changes = [*QUICK, "--set", "attack.eps=0.3", "--set", "attack.step_size=0.02", "--set", "data.limit=100"]
    trained = robustill("train", "digits_pgd-at_cnn-small", *changes, "--set", "attack.steps=2", "--out", "run")
    assert trained.code == 0, trained.err
    note = "note: trained against eps 0.3, but evaluation.eps is 0.15"
    assert note in trained.err
    assert "note: 2 steps of 0.02 are 0.04 together" in trained.err
    short = ["evaluate", "run", "--attacks", "fgsm", "--images", 10, "--no-checks"]
    told = robustill(*short).err
    assert note in told
    assert "together" not in told
    assert "trained against" not in robustill(*short, "--eps", "0.15").err


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        (["attack.step_size=0.15", "attack.steps=1"], 0),
        (["attack.step_size=0.1", "attack.steps=1"], 1),
        (["attack.step_size=0.015", "attack.steps=10"], 0),
    ],
)
def test_an_attack_that_reaches_the_border(changes: list[str], count: int) -> None:
    assert len(list(reach_notes(load_recipe("digits_rslad_cnn-small", changes)))) == count


def test_a_radius_of_another_norm_is_another_thing() -> None:
    changes = ["attack.eps=0.5", "attack.norm=L2", "evaluation.norm=Linf"]
    assert not list(radius_notes(load_recipe("digits_rslad_cnn-small", changes)))


def test_shipped_recipes_go_together() -> None:
    for name in shipped_recipes():
        recipe = load_recipe(name)
        assert [*radius_notes(recipe), *reach_notes(recipe)] == [], name
