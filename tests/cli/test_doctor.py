"""`robustill doctor`."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.command import Robustill, refused, teacher


def test_doctor_on_good_data(robustill: Robustill) -> None:
    outcome = robustill("doctor", "--data", "digits")
    assert (outcome.code, outcome.err) == (0, "")
    assert re.match(
        r"installation: \d+ of \d+ checks are ok \(robustill doctor shows all\)\nData: digits\n", outcome.out
    )
    values = robustill("doctor", "--data", "digits", "--json", "--out", "found").json
    assert json.loads(Path("found/doctor.json").read_text()) == values
    assert values["problems"] == []
    assert values["tables"]["Data: digits"]["shape"] == "1x8x8"
    checks = {each["name"]: each for each in values["checks"]}
    assert checks["torch"].keys() == {"name", "status", "says", "do"}
    assert checks["folder runs"]["status"] == "ok"
    whole = robustill("doctor").out
    for name in ("cores", "data fashion-mnist", "extra hub"):
        assert f"│ {name} " in whole
        assert name not in outcome.out


def test_doctor_on_data_tells_what_is_wrong_besides(robustill: Robustill) -> None:
    Path("file").write_text("")
    outcome = robustill("doctor", "--runs", "file", "--data", "digits")
    assert outcome.code == 1
    assert re.search(r"│ folder file +│ fail │", outcome.out)
    assert "cores" not in outcome.out
    (fine, total) = map(int, re.findall(r"installation: (\d+) of (\d+) checks are ok", outcome.out)[0])
    assert fine < total


def test_doctor_fails_where_runs_cannot_go(robustill: Robustill) -> None:
    Path("file").write_text("")
    outcome = robustill("doctor", "--runs", "file")
    assert outcome.code == 1
    assert "folder file" in outcome.out
    again = robustill("doctor", "--runs", "file", "--json")
    assert again.code == 1
    (failed,) = [each for each in again.json["checks"] if each["status"] == "fail"]
    assert failed["name"] == "folder file"
    assert "file is no folder" in str(failed)
    assert "--runs" in failed["do"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--data", "nosuch"], ["there is no data set 'nosuch'"]),
        (["--data", "fashion-mnist", "--root", "/nonexistent"], ["fashion-mnist", "/nonexistent"]),
        (["--data", "digits", "--teacher", "nowhere.safetensors"], ["no such file or folder: nowhere.safetensors"]),
        (["--data", "digits", "--teacher", "t.safetensors", "--images", "0"], ["images is 0"]),
        (["--data", "digits", "--teacher", "seven.safetensors"], ["the model has 7 classes, the data set 10"]),
    ],
    ids=lambda value: " ".join(value[1:]) if value[0] == "--data" else "",
)
def test_doctor_finds_one_problem(arguments: list[str], parts: list[str], robustill: Robustill) -> None:
    teacher(Path("t.safetensors"))
    teacher(Path("seven.safetensors"), classes=7)
    outcome = robustill("doctor", *arguments)
    assert outcome.code == 1
    assert outcome.err.count("problem:") == 1
    assert "Traceback" not in outcome.err
    for part in parts:
        assert part in outcome.err
    again = robustill("doctor", *arguments, "--json")
    assert again.code == 1
    assert len(again.json["problems"]) == 1
    assert again.err == ""


def test_doctor_on_a_teacher(robustill: Robustill) -> None:
    teacher(Path("t.safetensors"))
    outcome = robustill("doctor", "--data", "digits", "--teacher", "t.safetensors", "--eps", "8/255", "--images", "50")
    assert outcome.code == 1
    assert "near chance" in outcome.err
    assert "Teacher: t.safetensors" in outcome.out
    refused(robustill("doctor", "--teacher", "t.safetensors"), "a teacher is verified on data", "give --data NAME")
