"""`--set KEY=VALUE`."""

from typing import Any

import pytest

from robustill.errors import RecipeError
from robustill.recipe import load_recipe


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
