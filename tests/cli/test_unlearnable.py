"""`robustill unlearnable`."""

import json
from pathlib import Path

import pytest

from robustill.cli.references import reference_recipe
from robustill.diagnostics.learnability import load_learnability
from robustill.recipe import load_recipe, shipped_recipes
from robustill.training.run import Run
from tests.cli.command import Robustill, refused, teacher
from tests.cli.constant import constant, two_classes

STUDENT = "digits_rslad_cnn-small"
TINY = ["--set", "data.limit=300", "--eps", "0.02", "--set", "training.threads=1"]
LEARN = ["--set", "training.epochs=6", "--set", "training.batch_size=16"]


def test_references_are_trained_once_and_the_set_is_written(
    robustill: Robustill, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = ["unlearnable", STUDENT, "--references", 2, *TINY, *LEARN, "--out", "found"]
    first = robustill(*quick, "--json")
    content = first.json
    assert content == json.loads(Path("found/unlearnable.json").read_text())
    least, most = json.loads(Path("found/examples.json").read_text())["rows"]
    assert (least["of"], most["of"]) == (content["histogram"][0], content["histogram"][-1])
    assert all(len(image["pixels"]) == 8 for row in (least, most) for image in row["images"])
    assert content["references"] == ["pgd_at/0", "pgd_at/1"]
    assert (content["eps"], content["attack"], content["images"]) == (0.02, "pgd10", 270)
    assert content["checkpoint_rule"] == "best robust accuracy on the validation split"
    kept = load_learnability("found/unlearnable.safetensors")
    sizes = content["sizes"]["intersection"]
    assert (len(kept.unlearnable()), len(kept.learnable())) == (sizes["unlearnable"], sizes["learnable"])
    assert sizes["unlearnable"] > 0
    assert sizes["learnable"] > 0
    assert sum(content["histogram"]) == 270
    assert sum(each["unlearnable"] for each in content["classes"]) == sizes["unlearnable"]
    assert content["sizes"]["single"]["unlearnable"] == content["jaccard"][0][0] * int((~kept.right[0]).sum())
    assert [point["unlearnable"] for point in content["stability"]][-1] == sizes["unlearnable"]

    monkeypatch.setattr(Run, "run_epoch", None)
    again = robustill(*quick, "--figures", "png")
    assert again.code == 0, again.err
    for part in ("intersection", "Jaccard", "suspect labels", f"{sizes['unlearnable']} ("):
        assert part in again.out
    for name in ("unlearnable", "examples"):
        assert Path(f"found/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert Path(f"found/{name}.svg").exists()


def test_references_that_are_given(robustill: Robustill, trained: Path) -> None:
    quick = ["unlearnable", STUDENT, "--reference", trained, *TINY, "--images", 50, "--attack", "fgsm", "--json"]
    content = robustill(*quick, "--teacher", trained).json
    assert content["references"] == [str(trained)]
    assert (content["checkpoint_rule"], content["teachers_asked"]) == ("as given", [str(trained)])
    assert content["images"] == 50
    assert not Path("runs/teachers/references").exists()


def test_nothing_learned_and_nothing_unlearnable_are_told(robustill: Robustill, tmp_path: Path) -> None:
    one, other = (constant(tmp_path / f"{k}.safetensors", k) for k in (0, 1))
    quick = ["unlearnable", STUDENT, *TINY, "--images", 50, "--attack", "fgsm"]
    outcome = robustill(*quick, "--reference", one, "--reference", other)
    assert "nothing learned" in outcome.out
    assert "training.epochs" in outcome.out
    assert outcome.err.count("near chance") == 2
    nine, data = constant(tmp_path / "9.safetensors", 9), two_classes(tmp_path / "two.npz")
    quick = ["unlearnable", STUDENT, "--eps", "0.01", "--set", f"data.name={data}", "--set", "data.validation=0"]
    text = robustill(*quick, "--reference", one, "--reference", nine).out
    assert "empty:" in text
    assert "larger --eps or fewer" in text


def test_the_recipe_of_references_keeps_only_what_belongs_to_the_student() -> None:
    student = load_recipe("digits_ard_cnn-small", ["student.normalize=true", "training.clip_norm=1"])
    assert (student.training.loss_scale, student.training.clip_norm) == (0.5, 1.0)
    own = reference_recipe(student, 0.1, "cpu")
    assert (own.method.name, own.teachers, own.training.loss_scale, own.training.clip_norm) == ("pgd_at", {}, 1.0, None)
    assert (own.attack.eps, own.attack.step_size, own.attack.steps) == (0.1, 0.025, 10)
    assert own.student == student.student
    assert own.data == student.data
    assert own.training.optimizer == student.training.optimizer
    assert own.training.selection.metric == "robust"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["digits_rslad"], ["digits_rslad_cnn-small"]),
        ([STUDENT, "--eps", "8"], ["8/255"]),
        ([STUDENT, "--eps", "much"], ["--eps 'much'"]),
        ([STUDENT, "--attack", "pdg10"], ["pgd10"]),
        ([STUDENT, "--references", "0"], ["at least one"]),
        ([STUDENT, "--figures", "gif"], ["svg"]),
        ([STUDENT, "--reference", "runs/none"], ["reference runs/none", "no such file"]),
        ([STUDENT, "--teacher", "runs/none"], ["teacher runs/none"]),
        ([STUDENT, "--set", "data.validation=0"], ["robust peak", "data.validation"]),
        (["digits_standard_cnn-small", "--set", "evaluation.eps=0.1", "--eps", "-1"], ["eps=-1.0"]),
        ([STUDENT, "--images", "0"], ["--images 0"]),
    ],
)
def test_mistakes(robustill: Robustill, arguments: list[str], parts: list[str]) -> None:
    refused(robustill("unlearnable", *arguments), *parts)


def test_a_student_without_a_radius(robustill: Robustill, tmp_path: Path) -> None:
    text = shipped_recipes()["digits_standard_cnn-small"].read_text().split("[evaluation]")[0]
    (tmp_path / "plain.toml").write_text(text)
    refused(robustill("unlearnable", tmp_path / "plain.toml"), "no radius", "--eps 8/255")


def test_a_reference_with_other_classes(robustill: Robustill, tmp_path: Path) -> None:
    other = teacher(tmp_path / "other.safetensors", classes=7)
    refused(robustill("unlearnable", STUDENT, "--reference", other), "7 classes, the data set 10", "other.safetensors")


def test_help_teaches(robustill: Robustill) -> None:
    text = " ".join(robustill("unlearnable", "--help").out.split())
    for part in ("Example: robustill unlearnable", "robust peak", "shrinks with every further reference"):
        assert part in text
