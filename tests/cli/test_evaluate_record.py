"""Which of a run's evaluations its report tells of."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustill.data import load_data
from tests.cli.command import Robustill

BASE = ("--attacks", "pgd3", "--images", 50, "--no-checks")


@pytest.fixture
def run(robustill: Robustill, trained: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    for path in (*folder.glob("evaluation*"), *folder.glob("verdicts*")):
        path.unlink()
    robustill("evaluate", folder, *BASE)
    return folder


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return found


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        (["--images", 20], "test-Linf-0.15-20-images"),
        (["--eps", 0.05, "--images", 80], "test-Linf-0.05-80-images"),
        (["--norm", "L2", "--eps", 0.5, "--images", 80], "test-L2-0.5-80-images"),
        (["--split", "validation", "--images", 80], "validation-Linf-0.15-80-images"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_that_says_less_has_its_own_folder(changes: list[Any], place: str, run: Path, robustill: Robustill) -> None:
    before = (run / "evaluation.json").read_bytes()
    told = robustill("evaluate", run, *BASE, *changes).err
    assert "keeps its evaluation (pgd3 on 50 test images, Linf eps 0.15), which says more" in told
    assert str(run / "evaluations" / place) in told.replace("\n", "")
    assert (run / "evaluation.json").read_bytes() == before
    assert read(run / "evaluations" / place)["images"] == changes[-1]
    assert not list(run.glob("*.old.*"))


def test_more_images_and_autoattack_take_its_place(run: Path, robustill: Robustill) -> None:
    assert "note" not in robustill("evaluate", run, *BASE, "--images", 60).err
    assert (read(run)["images"], read(run.parent / "run")["images"]) == (60, 60)
    assert read(run / "evaluations" / "test-Linf-0.15-50-images")["images"] == 50
    standard = ["--attacks", "autoattack", "--images", 4, "--processes", 1, "--no-checks"]
    robustill("evaluate", run, *standard)
    assert (read(run)["images"], list(read(run)["attacks"])) == (4, ["autoattack"])
    robustill("evaluate", run, *BASE, "--images", 100)
    assert read(run)["images"] == 4, "the standard is worth more than images"


def test_what_is_displaced_is_where_reports_find_it(run: Path, robustill: Robustill) -> None:
    (run / "evaluation.json").unlink()
    other = ["--attacks", "pgd3", "--norm", "L2", "--eps", 0.5, "--images", 80, "--no-checks"]
    robustill("evaluate", run, *other, "--eps-grid", "0.1")
    first = (run / "evaluation.json").read_bytes()
    robustill("evaluate", run, *BASE)
    place = run / "evaluations" / "test-L2-0.5-80-images"
    assert (read(run)["threat"]["norm"], (place / "evaluation.json").read_bytes()) == ("Linf", first)
    assert ((place / "curve.svg").exists(), (run / "curve.svg").exists()) == (True, False)
    assert not list(run.glob("evaluation.old*")), "one place is enough"
    robustill("report", run)
    assert "Other evaluations of these weights" in (run / "report.html").read_text()
    # Its verdicts came along: more attacks on these images are counted with it.
    robustill("evaluate", run, *other, "--attacks", "fgsm")
    assert list(read(place)["attacks"]) == ["fgsm", "pgd3"]


def test_what_other_weights_left_behind_is_no_result_of_these(run: Path, robustill: Robustill) -> None:
    found = read(run)
    (run / "evaluation.json").write_text(json.dumps({**found, "model_digest": "0" * 64}))
    robustill("evaluate", run, *BASE)
    assert (run / "evaluation.old.json").exists()
    assert not (run / "evaluations").exists()


def test_the_same_images_count_together(run: Path, robustill: Robustill) -> None:
    assert "note" not in robustill("evaluate", run, *BASE, "--attacks", "fgsm").err
    assert list(read(run)["attacks"]) == ["fgsm", "pgd3"]


def test_other_data_never_take_the_place_of_the_own(run: Path, robustill: Robustill, tmp_path: Path) -> None:
    digits = load_data("digits").test
    images = digits.images(torch.arange(len(digits))).numpy()[:, 0]
    np.savez(
        tmp_path / "darker.npz",
        **{f"{x}_{split}": v for split in ("train", "test") for x, v in (("x", images // 2), ("y", digits.labels))},
    )
    told = robustill("evaluate", run, *BASE, "--images", 80, "--data", tmp_path / "darker.npz").err
    assert "keeps its evaluation" in told
    (place,) = (run / "evaluations").iterdir()
    assert place.name.startswith("darker")
    assert read(place)["data"] != read(run)["data"]
    shutil.rmtree(run / "evaluations")
    for path in (run / "evaluation.json", run / "verdicts.safetensors"):
        path.unlink()
    robustill("evaluate", run, *BASE, "--images", 80, "--data", tmp_path / "darker.npz")
    robustill("evaluate", run, *BASE, "--images", 90, "--data", tmp_path / "darker.npz")
    assert (read(run)["data"][:6], read(run)["images"]) == ("darker", 90)
    robustill("evaluate", run, *BASE)
    assert (read(run)["data"], read(run)["images"]) == ("digits", 50), "a run's own data come first"


def test_the_last_student_and_a_named_folder(run: Path, robustill: Robustill, tmp_path: Path) -> None:
    robustill("evaluate", run, "--last", *BASE)
    robustill("evaluate", run, "--last", *BASE, "--images", 20)
    assert read(run / "last")["images"] == 50
    assert read(run / "last" / "evaluations" / "test-Linf-0.15-20-images")["images"] == 20
    robustill("evaluate", run, *BASE, "--images", 20, "--out", tmp_path / "here")
    robustill("evaluate", run, *BASE, "--images", 10, "--out", tmp_path / "here")
    assert read(tmp_path / "here")["images"] == 10, "who names a folder is obeyed"


@pytest.mark.parametrize(
    "damage",
    [None, [], {}, {"model_digest": 3}, {"attacks": None}, {"images": "many"}, {"threat": {"norm": "Linf", "eps": "x"}},
     {"attacks": [1]}, {"split": ["test"]}],
    ids=str,
)  # fmt: skip
def test_a_damaged_record_is_put_aside(damage: Any, run: Path, robustill: Robustill) -> None:
    found = read(run)
    content = "{" if damage is None else json.dumps({**found, **damage} if damage else damage)
    (run / "evaluation.json").write_text(content)
    robustill("evaluate", run, *BASE, "--images", 20)
    assert read(run)["images"] == 20
