"""Addresses: equal for the same computation, different for any other."""

from pathlib import Path

import pytest
import torch

from robustill.models import build_model, save_model
from robustill.recipe import load_recipe
from robustill.study import Cell
from robustill.study.address import training_address
from tests.study.small import QUICK, TEACHERS, expand

RUNS = '[runs.rslad]\nrecipe = "digits_rslad_cnn-small"\nset = { method.alpha = 0.5 }\n' + TEACHERS


def cell(runs: str = RUNS, head: str = "seeds = 1", base: str = QUICK, name: str = "rslad") -> Cell:
    return next(each for each in expand(runs, head, base).all() if each.variant.name == name)


def test_neither_the_study_nor_its_names_matter() -> None:
    other = RUNS.replace("runs.rslad", "runs.mine").replace("runs.robust", "runs.T")
    other = '[runs.more]\nrecipe = "digits_trades_cnn-small"\n' + other
    base = QUICK.replace("cell:robust", "cell:T")
    here, there = cell(), cell(other, "seeds = 1\nbaseline = 'T'\nretries = 4\nname = 'x'", base, "mine")
    assert there.address == here.address
    assert there.folder == here.folder
    assert len(here.training) == 64


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("method.alpha = 0.5", "method.alpha = '1/2'"),
        ("method.alpha = 0.5", "method.alpha = 0.5, title = 'other'"),
        ("method.alpha = 0.5", "method.alpha = 0.5, training.device = 'cpu'"),
        ("method.alpha = 0.5", "method.alpha = 0.5, training.spread_teachers = true"),
        ("method.alpha = 0.5", "method.alpha = 0.5, training.compile = true"),
        ("method.alpha = 0.5", "method.alpha = 0.5, training.threads = 1"),
        ("method.alpha = 0.5", "method.alpha = 0.5, evaluation.attacks = ['cw']"),
    ],
)
def test_what_does_not_matter(old: str, new: str) -> None:
    assert cell(RUNS.replace(old, new)).address == cell().address


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("method.alpha = 0.5", "method.alpha = 0.51"),
        ("method.alpha = 0.5", "method.alpha = 0.5, training.batch_size = 65"),
        ("method.alpha = 0.5", "method.alpha = 0.5, data.seed = 1"),
        ("method.alpha = 0.5", "method.alpha = 0.5, attack.steps = 2"),
        ("method.alpha = 0.5", "method.alpha = 0.5, training.selection.steps = 2"),
        ("method.alpha = 0.5", "method.alpha = 0.5, training.threads = 2"),
        ("method.alpha = 0.5", "method.alpha = 0.5, student.arguments.width = 9"),
        # Of the teacher: its seed, its recipe, and which of its students teaches.
        ("seeds = [7]", "seeds = [8]"),
        ("digits_pgd-at_cnn-small", "digits_pgd-at_cnn-wide"),
        ("method.alpha = 0.5 }", "method.alpha = 0.5 }\nteachers.teacher = 'cell:robust:last'"),
        ("method.alpha = 0.5 }", "method.alpha = 0.5 }\nteachers.teacher = 'cell:clean'"),
    ],
)
def test_any_change_of_the_training_is_another_address(old: str, new: str) -> None:
    changed = cell(RUNS.replace(old, new))
    assert changed.training != cell().training
    assert changed.folder != cell().folder


def test_an_update_does_not_disown_the_cells_of_users() -> None:
    # A new setting changes this address, and with it that of every cell there is, unless it is left out at its default.
    recipe = load_recipe("digits_pgd-at_cnn-small")
    assert training_address(recipe, {}) == "6e1ced64e381925ffbc75ec13a8103a0104a427a727b59bec5ece55cb0713fbb"


def test_what_auto_comes_to_is_the_machines_affair() -> None:
    found = {}
    for precision in ("auto", "bf16", "no"):
        change = f"method.alpha = 0.5, training.mixed_precision = '{precision}'"
        found[precision] = cell(RUNS.replace("method.alpha = 0.5", change)).training
    assert found["auto"] == found["bf16"] != found["no"]
    # As it was when this recipe said "bf16".
    recipe = load_recipe("fashion-mnist_pgd-at_cnn-wide")
    assert training_address(recipe, {}) == "8f584971f588d9e386d1d163f5833da6e60061d9878aa101497bdfc883c1f1ec"


def test_seeds_differ() -> None:
    found = [each.training for each in expand(RUNS, "seeds = 5").all() if each.variant.name == "rslad"]
    assert len(set(found)) == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("images = 100", "images = 101"),
        ('["fgsm"]', '["fgsm", "cw"]'),
        ("checks = false", "checks = false\nlast = false"),
        ("checks = false", "checks = false\nseed = 1"),
        ("checks = false", "checks = false\n[calibrate]\neps = [0.1]"),
        ("evaluation.eps = 0.05", "evaluation.eps = 0.06"),
    ],
)
def test_another_evaluation_is_another_address_of_the_same_training(old: str, new: str) -> None:
    changed = cell(base=QUICK.replace(old, new))
    assert changed.address != cell().address
    assert changed.training == cell().training


def test_a_teacher_from_a_file_is_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def save(path: Path, seed: int) -> None:
        path.parent.mkdir(exist_ok=True)
        torch.manual_seed(seed)
        save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), path)

    def taught_by(source: str) -> str:
        line = "method.alpha = 0.5 }"
        return cell(RUNS.replace(line, f"{line}\nteachers.teacher = '{source}'")).training

    save(tmp_path / "a" / "student.safetensors", 0)
    save(tmp_path / "b.safetensors", 0)
    first = taught_by("a")
    assert taught_by("b.safetensors") == taught_by("a/student.safetensors") == first
    save(tmp_path / "b.safetensors", 1)
    assert taught_by("b.safetensors") != first


def test_a_shipped_teacher_counts_by_its_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from robustill.shipped import shipped_models

    runs = "[runs.r]\nrecipe = 'digits_rslad_cnn-small'\n"
    runs += "teachers = { teacher = 'robustill:digits_pgd-at_resnet18' }\n"
    (before,) = expand(runs, "seeds = 1").all()
    other = tmp_path / "digits_pgd-at_resnet18.safetensors"
    other.write_bytes(shipped_models()["digits_mtard_cnn-small"].read_bytes())
    monkeypatch.setattr("robustill.study.address.shipped_models", lambda: {"digits_pgd-at_resnet18": other})
    (after,) = expand(runs, "seeds = 1").all()
    assert before.training != after.training
