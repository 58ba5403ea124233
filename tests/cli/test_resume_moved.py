"""A run goes on where its data and teachers lie elsewhere now, and only if these are the same."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from robustill.models import build_model, save_model
from robustill.recipe import Recipe, load_recipe
from robustill.runs import run_recipe
from robustill.training.run import Run
from tests.cli.command import Robustill, refused

Cut = Callable[[Recipe, Path], None]


class KilledError(Exception):
    pass


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Return what trains a recipe's first epoch and dies in the second."""

    def train(recipe: Recipe, folder: Path) -> None:
        def dying(self: Run, x: torch.Tensor, y: torch.Tensor) -> None:
            if self.epoch == 1:
                raise KilledError
            step(self, x, y)

        step = Run._train_step
        with monkeypatch.context() as patch:
            patch.setattr(Run, "_train_step", dying)
            with pytest.raises(KilledError):
                run_recipe(recipe, folder, progress=False)

    return train


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Return a short recipe with data and a teacher in `tmp_path`."""
    draws = np.random.default_rng(0)
    images, labels = draws.integers(0, 256, (60, 8, 8), dtype=np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images[::2], y_test=labels[::2])
    torch.manual_seed(0)
    save_model(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)), tmp_path / "t.safetensors")
    return load_recipe(
        "digits_rslad_cnn-small",
        [f"data.name={tmp_path}/d.npz", f"teachers.teacher={tmp_path}/t.safetensors", "training.epochs=2",
         "training.batch_size=16", "training.average.name=ema", "training.awp.gamma=0.01"],
    )  # fmt: skip


def test_what_has_moved_is_known_by_its_content(robustill: Robustill, recipe: Recipe, cut: Cut, tmp_path: Path) -> None:
    run_recipe(recipe, tmp_path / "whole", progress=False)
    cut(recipe, tmp_path / "cut")
    (tmp_path / "else").mkdir()
    for name in ("d.npz", "t.safetensors"):
        shutil.move(tmp_path / name, tmp_path / "else" / name)
    changes = [f"data.name={tmp_path}/else/d.npz", f"teachers.teacher={tmp_path}/else/t.safetensors"]
    changes += ["training.log_steps=1", "training.workers=1", "training.checkpoint_steps=1"]
    outcome = robustill("train", "cut", "--resume", *(word for change in changes for word in ("--set", change)))
    assert outcome.code == 0, outcome.err
    for name in ("student.safetensors", "student_last.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    # The folder is whole again: nothing needs to be said a second time.
    assert robustill("evaluate", "cut", "--attacks", "fgsm", "--no-checks").code == 0
    assert robustill("train", "cut", "--resume").code == 0
    assert load_recipe("cut").training.log_steps == recipe.training.log_steps


def test_what_is_another_is_refused(robustill: Robustill, recipe: Recipe, cut: Cut, tmp_path: Path) -> None:
    cut(recipe, tmp_path / "cut")
    written = (tmp_path / "cut" / "recipe.toml").read_bytes()
    save_model(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)), tmp_path / "other.safetensors")
    found = dict(np.load(tmp_path / "d.npz"))
    np.savez(tmp_path / "other.npz", **{**found, "y_train": found["y_train"][::-1]})
    for key, place in (("teachers.teacher", "other.safetensors"), ("data.name", "other.npz")):
        outcome = robustill("train", "cut", "--resume", "--set", f"{key}={tmp_path / place}")
        key = key.removesuffix(".name")
        refused(outcome, f"{key}: {tmp_path}", "not known to be the same", f"{key} may lie elsewhere if")
    refused(
        robustill("train", "cut", "--resume", "--set", "training.threads=3"), "training.threads: ", "another folder"
    )
    assert (tmp_path / "cut" / "recipe.toml").read_bytes() == written


def test_a_network_that_learned_has_no_content_to_know_it_by(robustill: Robustill, recipe: Recipe, cut: Cut) -> None:
    table = {"name": "ciard"}
    given = recipe.model_dump(mode="json", exclude_none=True)
    source = given["teachers"]["teacher"]
    shutil.copy(source, "copy.safetensors")
    two = Recipe.model_validate({**given, "method": table, "teachers": {"teacher_adv": source, "teacher_nat": source}})
    cut(two, Path("two"))
    for name, code in (("nat", 0), ("adv", 1)):
        outcome = robustill("train", "two", "--resume", "--set", f"teachers.teacher_{name}=copy.safetensors")
        assert outcome.code == code, outcome.err
    refused(outcome, "teachers.teacher_adv", "not known to be the same")


def test_a_teacher_more_or_less_is_another_recipe(robustill: Robustill, recipe: Recipe, cut: Cut) -> None:
    """IAD does with one teacher or two."""
    given = recipe.model_dump(mode="json", exclude_none=True)
    source = given["teachers"]["teacher"]
    for teachers, change in (
        ({"teacher": source}, f"teachers.teacher_nat={source}"),
        ({"teacher": source, "teacher_nat": source}, f'teachers={{teacher="{source}"}}'),
    ):
        folder = f"of-{len(teachers)}"
        cut(Recipe.model_validate({**given, "method": {"name": "iad"}, "teachers": teachers}), Path(folder))
        outcome = robustill("train", folder, "--resume", "--set", change)
        refused(outcome, "started with another recipe: teachers.teacher_nat.source: ", "another folder")
