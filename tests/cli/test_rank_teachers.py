"""`robustill rank-teachers`."""

import json
import shutil
from pathlib import Path

import pytest

from robustill.cli.rank_teachers import distillation_temperature
from robustill.models import load_model, save_model
from robustill.recipe import load_recipe
from tests.cli.command import Robustill, refused, teacher
from tests.cli.constant import constant, two_classes

STUDENT = "digits_rslad_cnn-small"
TINY = ["--set", "data.limit=300", "--eps", "0.02"]
LEARN = ["--set", "training.epochs=6", "--set", "training.batch_size=16"]


@pytest.fixture
def louder(trained: Path, tmp_path: Path) -> Path:
    """Return the trained network with logits four times as large: as right, and surer."""
    model = load_model(trained)
    head = list(model.modules())[-1]
    head.weight.data *= 4  # type: ignore[operator]
    head.bias.data *= 4  # type: ignore[operator]
    save_model(model, tmp_path / "louder.safetensors")
    return tmp_path / "louder.safetensors"


def test_the_surer_teacher_comes_second(robustill: Robustill, trained: Path, louder: Path) -> None:
    quick = ["rank-teachers", louder, trained, "--student", STUDENT, "--reference", trained, *TINY]
    loose = ["--gate-informative", "0", "--gate-wrong", "1", "--gate-robust", "0", "--out", "found"]
    content = robustill(*quick, *loose, "--json").json
    assert content == json.loads(Path("found/teachers.json").read_text())
    assert [each["name"] for each in content["ranking"]] == [str(trained), str(louder)]
    assert [each["rank"] for each in content["ranking"]] == [1, 2]
    assert (content["schema"], content["surface"], content["temperature"]) == (1, "student", 1.0)
    assert content["threat"] == {"eps": 0.02, "norm": "Linf", "attack": "pgd10"}
    found = json.loads(Path("found/unlearnable.json").read_text())
    assert content["sizes"] == {k: v for k, v in found["sizes"]["intersection"].items() if k != "references"}
    for each in content["teachers"]:
        assert set(each["surfaces"]) == {"clean", "student", "teacher"}
        assert set(each["baselines"]) >= {"robust_accuracy", "clean_accuracy", "entropy_matched", "nll_unlearnable"}
    one, other = (each["surfaces"]["clean"]["accuracy"]["unlearnable"] for each in content["teachers"])
    assert one == other, "the same answers"
    warm = robustill(*quick, *loose, "--temperature", "4", "--json", "--no-baselines").json
    by_name = {each["name"]: each for each in warm["teachers"]}
    cold = {each["name"]: each for each in content["teachers"]}
    assert by_name[str(louder)]["surfaces"]["clean"]["entropy"]["learnable"]["mean"] == pytest.approx(
        cold[str(trained)]["surfaces"]["clean"]["entropy"]["learnable"]["mean"], rel=1e-5
    )
    assert by_name[str(louder)]["baselines"] == {}

    text = robustill(*quick, *loose, "--figures", "png", "--surface", "clean").out
    for part in ("H on U", "clean images, temperature 1", "1 reference", "robust L", str(louder.name)):
        assert part in text
    assert Path("found/teachers.png").read_bytes().startswith(b"\x89PNG")


def test_gates_are_told_with_what_to_do(robustill: Robustill, trained: Path, tmp_path: Path) -> None:
    fresh = teacher(tmp_path / "fresh.safetensors")
    quick = ["rank-teachers", fresh, "--student", STUDENT, "--reference", trained, *TINY, "--no-baselines"]
    text = robustill(*quick).out
    for part in ("dropped:", "uninformative", "no ranking:", "--gate-informative"):
        assert part in text
    same = shutil.copy(fresh, tmp_path / "same.safetensors")
    ties = robustill(*quick, same, "--gate-informative", 0)
    assert "tied:" in ties.out
    assert "1=" in ties.out


def test_a_reference_that_is_trained_for_the_ranking(robustill: Robustill, trained: Path) -> None:
    quick = ["rank-teachers", trained, "--student", STUDENT, *TINY, *LEARN, "--no-baselines"]
    content = robustill(*quick, "--json").json
    assert content["references"] == 1
    assert len(list(Path("runs/teachers/references").iterdir())) == 1
    assert content["sizes"]["unlearnable"] > 0


def test_the_temperature_is_that_of_the_distillation() -> None:
    assert distillation_temperature(load_recipe("digits_ard_cnn-small")) == 5.0
    assert distillation_temperature(load_recipe("digits_ard_cnn-small", ["method.temperature=2"])) == 2.0
    assert distillation_temperature(load_recipe(STUDENT)) == 1.0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["TEACHER", "--student", "digits_rslad"], ["digits_rslad_cnn-small"]),
        (["runs/none", "--student", STUDENT], ["teacher runs/none", "no such file"]),
        (["TEACHER", "TEACHER", "--student", STUDENT], ["named twice"]),
        (["TEACHER", "--student", STUDENT, "--eps", "8"], ["8/255"]),
        (["TEACHER", "--student", STUDENT, "--surface", "both"], ["surface"]),
        (["TEACHER", "--student", STUDENT, "--criterion", "entropy"], ["unlearnable_entropy"]),
        (["TEACHER", "--student", STUDENT, "--temperature", "0"], ["temperature"]),
        (["TEACHER", "--student", STUDENT, "--gate-wrong", "20"], ["share between 0 and 1"]),
        (["TEACHER", "--student", STUDENT, "--figures", "gif"], ["svg"]),
    ],
)
def test_mistakes(robustill: Robustill, trained: Path, arguments: list[str], parts: list[str]) -> None:
    refused(robustill("rank-teachers", *(str(trained) if a == "TEACHER" else a for a in arguments)), *parts)


def test_a_teacher_with_other_classes(robustill: Robustill, tmp_path: Path) -> None:
    other = teacher(tmp_path / "other.safetensors", classes=7)
    refused(robustill("rank-teachers", other, "--student", STUDENT), "7 classes, the data set 10", "teacher")


def test_empty_sets_are_errors_that_say_what_to_do(robustill: Robustill, trained: Path, tmp_path: Path) -> None:
    references = {k: ("--reference", constant(tmp_path / f"{k}.safetensors", k)) for k in (0, 1, 9)}
    quick = ["rank-teachers", trained, "--student", STUDENT, "--images", 50]
    outcome = robustill(*quick, *references[0], *references[1])
    assert (outcome.code, outcome.out) == (1, "")
    for part in ("near chance", "have not learned", "more epochs", "smaller eps"):
        assert part in outcome.err
    data = two_classes(tmp_path / "two.npz")
    quick = [*quick[:4], "--eps", "0.01", "--set", f"data.name={data}", "--set", "data.validation=0"]
    outcome = robustill(*quick, *references[0], *references[9])
    assert (outcome.code, outcome.out) == (1, "")
    for part in ("no training image is robustly unlearnable", "larger eps, fewer references"):
        assert part in outcome.err


def test_help_teaches(robustill: Robustill) -> None:
    text = " ".join(robustill("rank-teachers", "--help").out.split())
    for part in ("Example: robustill rank-teachers", "an indicator, not a promise", "Least robust accuracy"):
        assert part in text
