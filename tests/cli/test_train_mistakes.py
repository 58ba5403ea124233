"""Everything that can be wrong with a training is one clear message."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustill.recipe import load_recipe
from tests.cli.command import QUICK, Robustill, refused, teacher


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def pickled(path: str) -> str:
    torch.save({"state_dict": _Payload()}, path)
    return f"cnn_small@{path}"


def rslad(source: object) -> list[object]:
    return ["train", "digits_rslad_cnn-small", "--out", "new", "--set", f"teachers.teacher={source}"]


def test_a_pickled_teacher_is_refused_without_running_it(robustill: Robustill) -> None:
    refused(robustill(*rslad(pickled("teacher.pt"))), "teacher.pt")
    refused(robustill(*rslad("teacher.pt")), "teacher.pt does not say which architecture it holds")
    Path("plain.pt").write_bytes(pickle.dumps(_Payload()))
    refused(robustill(*rslad("cnn_small@plain.pt")), "plain.pt")
    assert not Path("executed").exists()
    assert not Path("new").exists()
    torch.load("teacher.pt", weights_only=False)
    assert Path("executed").exists(), "the payload is no payload: the test proves nothing"


def test_distillation_from_a_file_and_a_warning_for_a_teacher_that_guesses(
    robustill: Robustill, tmp_path: Path
) -> None:
    file = teacher(tmp_path / "t.safetensors")
    before = file.read_bytes()
    outcome = robustill(*rslad(file), *QUICK, "--set", "attack.steps=1", "--set", "attack.init=none")
    assert outcome.code == 0
    assert outcome.err.count("warning: teacher is right on") == 1
    assert file.read_bytes() == before
    values = robustill("evaluate", "new", "--attacks", "fgsm", "--images", 50, "--json").json
    assert values["threat"]["eps"] == 0.15
    assert load_recipe("new").teachers == {"teacher": str(file)}


def test_a_teacher_that_was_not_trained_yet(robustill: Robustill) -> None:
    refused(
        robustill("train", "digits_rslad_cnn-small", "--out", "new"),
        "teachers.teacher: runs/digits_pgd-at_cnn-wide is not there yet",
        "hint: `robustill train digits_pgd-at_cnn-wide` makes it; or take one: "
        "--set teachers.teacher=robustill:digits_pgd-at_resnet18",
    )
    natural = robustill("train", "digits_mtard_cnn-small", "--set", "teachers.teacher_adv=t.safetensors").err
    assert "hint: `robustill train digits_standard_cnn-wide` makes it\n" in natural
    elsewhere = ("--set", "teachers.teacher=other/digits_standard_cnn-wide", "--set", "data.name=x.npz")
    archive("x.npz", 1)
    words = "digits_standard_cnn-wide --out other/digits_standard_cnn-wide --set data.name=x.npz` makes it"
    refused(robustill("train", "digits_rslad_cnn-small", *elsewhere), words)
    Path("runs/teacher").mkdir(parents=True)
    refused(robustill(*rslad("runs/teach")), "no such file or folder: runs/teach", "did you mean 'runs/teacher'?")
    assert not Path("new").exists()


def test_a_teacher_with_another_class_count(robustill: Robustill, tmp_path: Path) -> None:
    refused(
        robustill(*rslad(teacher(tmp_path / "t.safetensors", classes=7))), "the model has 7 classes, the data set 10"
    )


def archive(path: str, scale: float) -> str:
    generator = np.random.default_rng(0)
    x, y = (scale * generator.random((30, 8, 8))).astype(np.float32), np.arange(30) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return path


def test_float_images_in_0_to_255(robustill: Robustill) -> None:
    wrong = ["train", "digits_standard_cnn-small", "--out", "new", "--set", f"data.name={archive('x.npz', 255)}"]
    refused(robustill(*wrong), "x.npz", "[0, 1]", "255")
    assert not Path("new").exists()
    right = ["train", "digits_standard_cnn-small", *QUICK, "--set", f"data.name={archive('y.npz', 1)}"]
    assert robustill(*right).code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set", "training.epoch=3"], ["training.epoch: unknown key", "did you mean 'epochs'?"]),
        (["--set", "student.architecture=cnn_smal"], ["cnn_smal", "did you mean 'cnn_small'?"]),
        (["--set", "student.arguments.width=3"], ["cnn_small has no argument 'width'"]),
        (["--set", "method.name=standrad"], ["method.name: unknown method 'standrad'", "did you mean 'standard'?"]),
        (["--set", "training.epochs"], ["--set 'training.epochs' is not KEY=VALUE", "--set method.alpha=0.9"]),
        (["--set", "evaluation.attacks=['pdg20']"], ["evaluation.attacks: unknown attack 'pdg20'", "'pgd20'"]),
        (["--set", "data.name=digit"], ["there is no data set 'digit'", "digits"]),
        (["--set", "data.name=./nowhere"], ["nowhere"]),
        (["--set", "data.name=fashion-mnist", "--set", "data.root=/nonexistent"], ["fashion-mnist", "/nonexistent"]),
        (["--set", "training.device=gpu"], ["unknown device 'gpu'", "choose auto, cpu"]),
        (["--set", "training.awp.gamma=0.01"], ["AWP needs a method with an adversary", "awp.gamma = 0"]),
        (["--set", "training.selection.metric=robust"], ["needs a radius above 0", "set selection.eps"]),
        (["--mixed-precision", "fp8"], ["training.mixed_precision = 'fp8'"]),
        (["--set", "method.name=igdm"], ["method: igdm wraps another method", "add a table [method.base]"]),
        (["--set", "method.base.name=ard"], ["method.base: standard wraps no method", "remove the table"]),
        (["--set", "method.name=peeraid"], ["peeraid needs peer", "--set teachers.peer=ARCHITECTURE"]),
        (["--set", "training.guides.peer.optimizer.lr=1"], ["training.guides.peer", "trains the student alone"]),
    ],
    ids=lambda value: value[1] if value[0].startswith("--") else "",
)
def test_mistakes_in_training(arguments: list[str], parts: list[str], robustill: Robustill) -> None:
    refused(robustill("train", "digits_standard_cnn-small", "--out", "new", *arguments), *parts)
    assert not Path("new/last.pt").exists()


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("digits_rslad_cnn-smal", ["no recipe 'digits_rslad_cnn-smal'", "did you mean 'digits_rslad_cnn-small'?"]),
        ("my.toml", ["my.toml: data.nme: unknown key", "did you mean 'name'?"]),
        ("digits_rslad_cnn-small", ["runs/digits_pgd-at_cnn-wide is not there yet"]),
        ("digits_mtard_cnn-small", ["is not there yet, the recipe's teacher"]),
    ],
)
def test_mistakes_in_the_recipe(source: str, parts: list[str], robustill: Robustill) -> None:
    table = '[data]\nname = "digits"\nnme = 1\n[student]\narchitecture = "cnn_small"\n[method]\nname = "standard"\n'
    Path("my.toml").write_text(table)
    refused(robustill("train", source, "--out", "new"), *parts)


def test_missing_teachers(robustill: Robustill) -> None:
    Path("my.toml").write_text(load_recipe("digits_mtard_cnn-small").to_toml().replace("[teachers]", "[teachers]\n#"))
    text = [line for line in Path("my.toml").read_text().splitlines() if not line.startswith(("teacher_", "#teacher_"))]
    Path("my.toml").write_text("\n".join(text))
    outcome = robustill("train", "my.toml", "--out", "new")
    refused(outcome, "teachers: mtard needs teacher_adv, teacher_nat", "--set teachers.teacher_adv=RUN_OR_FILE")
