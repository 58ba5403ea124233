"""The report on installation, data and teacher."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from robustill.diagnostics import doctor, examine, verify_teacher
from robustill.errors import InputError
from robustill.models import build_model, load_model, save_model


def saved(folder: Path, classes: int = 10) -> str:
    torch.manual_seed(0)
    net = build_model("cnn_small", num_classes=classes, shape=(1, 8, 8))
    save_model(net, folder / "teacher.safetensors")
    return str(folder / "teacher.safetensors")


def test_the_installation() -> None:
    report = examine()
    assert [title for title, _ in report.tables] == ["Installation"]
    rows = dict(report.tables[0][1])
    assert rows["torch"].startswith(torch.__version__)
    assert {"robustill", "python", "extra hub", "extra export", "extra track", "extra ray"} <= set(rows)
    assert report.problems == []


def test_a_missing_extra_is_named_and_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_ray(name: str, *rest: Any) -> Any:
        return None if name == "ray" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without_ray)
    report = examine()
    assert dict(report.tables[0][1])["extra ray"] == "missing: ray"
    assert report.problems == []


def test_good_data() -> None:
    report = examine(data="digits")
    assert [title for title, _ in report.tables] == ["Installation", "Data: digits"]
    assert dict(report.tables[1][1])["shape"] == "1x8x8"
    assert report.problems == []


def test_data_that_is_not_there() -> None:
    report = examine(data="nosuch", teacher="nowhere.safetensors")
    (problem,) = report.problems
    assert problem.startswith("there is no data set 'nosuch'")
    assert len(report.tables) == 2, "the teacher cannot be looked at"


def test_a_teacher_needs_data() -> None:
    with pytest.raises(InputError, match="give --data NAME as well"):
        examine(teacher="cnn_small")


def test_an_untrained_teacher(tmp_path: Path) -> None:
    report = examine(data="digits", teacher=saved(tmp_path), images=50)
    assert report.tables[2][0].startswith("Teacher: ")
    assert dict(report.tables[2][1])["images"] == "50"
    assert any("near chance" in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("nowhere.safetensors", "no such file or folder: nowhere.safetensors"),
        (None, "the model has 7 classes, the data set 10"),
    ],
)
def test_a_teacher_that_cannot_be_used_is_a_problem(teacher: str | None, message: str, tmp_path: Path) -> None:
    report = examine(data="digits", teacher=teacher or saved(tmp_path, classes=7))
    (problem,) = report.problems
    assert message in problem
    assert len(report.tables) == 2


def test_only_a_foreign_file_is_asked_for_a_normalisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = []

    def watch(*arguments: Any, **named: Any) -> Any:
        described.append(named["described"])
        return verify_teacher(*arguments, **named)

    monkeypatch.setattr(doctor, "verify_teacher", watch)
    own = saved(tmp_path)
    torch.save(load_model(own).state_dict(), tmp_path / "t.pt")
    (tmp_path / "run").mkdir()
    Path(own).rename(tmp_path / "run" / "student.safetensors")
    for source in (str(tmp_path / "run"), "robustill:digits_mtard_cnn-small", f"cnn_small@{tmp_path}/t.pt"):
        examine(data="digits", teacher=source, images=10)
    assert described == [True, True, False]


def test_json_is_plain() -> None:
    values = json.loads(json.dumps(examine(data="digits").to_json()))
    assert set(values) == {"checks", "tables", "problems"}
    assert values["problems"] == []
    assert values["tables"]["Data: digits"]["images"] == "train 1293, validation 144, test 360"
