"""`robustill study`: what it prints, writes, refuses, and does not do twice."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.command import Robustill, refused

STUDY = """
baseline = "plain"
seeds = 2

[base]
data.limit = 200
training.epochs = 1
attack = { eps = 0.05, steps = 1 }
evaluation.eps = 0.05

[runs.plain]
recipe = "digits_standard_cnn-small"

[runs.trades]
recipe = "digits_trades_cnn-small"
seeds = 1

[evaluate]
attacks = ["fgsm"]
images = 50
checks = false
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my-study.toml"
    path.write_text(STUDY)
    return path


def test_a_dry_run_writes_nothing(robustill: Robustill, file: Path, tmp_path: Path) -> None:
    found = robustill("study", file, "--dry-run", "--json").json
    assert [(each["run"], each["seed"], each["state"]) for each in found] == [
        ("plain", 0, "queued"), ("trades", 0, "queued"), ("plain", 1, "queued"),
    ]  # fmt: skip
    assert all(each["cell"].endswith(each["cell"][-12:]) and len(each["address"]) == 64 for each in found)
    assert "my-study: 0 of 3 cells are done" in robustill("study", file, "--dry-run").out
    only = robustill("study", file, "--dry-run", "--json", "--only", "trades", "--set", "training.epochs=2").json
    assert [each["run"] for each in only] == ["trades"]
    assert only[0]["cell"] != found[1]["cell"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my-study.toml"]


@pytest.mark.slow
def test_a_study_runs_once(robustill: Robustill, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = robustill("study", file, "--jobs", 1)
    assert first.code == 0, first.err
    assert "Judged on digits, test split, 50 images, Linf, eps 0.05." in first.out
    out = Path("runs/my-study")
    assert {path.name for path in out.iterdir()} == {
        "cells", "costs.csv", "results.csv", "results.parquet", "results.svg", "study.log", "study.toml",
        "summary.json", "summary.md", "summary.tex",
    }  # fmt: skip
    assert "my-study: accuracy in %, student of the last epoch" in first.out
    assert "ETA" in first.err
    log = (out / "study.log").read_text()
    assert log.count(" done: ") == 3
    with (out / "results.csv").open() as csv_file:
        rows = list(csv.DictReader(csv_file))
    for row in rows:
        stored = json.loads((out / "cells" / row["cell"] / "evaluation.json").read_text())
        entry = {"clean": stored["clean"], **stored["attacks"], "robust": stored["robust"]}[row["attack"]]
        assert float(row["accuracy"]) == entry["accuracy"]
    tables = {name: (out / name).read_bytes() for name in ("results.csv", "results.parquet", "summary.json")}
    times = {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*")}
    # Another way to begin a process would be needed, and there is none.
    monkeypatch.setattr("robustill.study.local.command", lambda folder: ["/nowhere"])
    second = robustill("study", file, "--json")
    assert second.json == json.loads(tables["summary.json"])
    # One cell here, the others as an earlier run's table has them.
    (trades,) = (out / "cells").glob("trades*")
    shutil.copytree(trades, "alone/" + trades.name)
    third = robustill("study", file, "--only", "trades", "--cells", "alone", "--out", "new", "--beside", out, "--json")
    assert third.json["earlier"] == ["plain (seed 0, 1)"]
    assert Path("new/results.csv").read_bytes() == tables["results.csv"]
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*")} == times
    assert {name: (out / name).read_bytes() for name in tables} == tables
    assert (out / "study.log").read_text() == log
    # The same cells serve another study.
    file.rename(file.with_name("other.toml"))
    found = robustill("study", "other.toml", "--cells", out / "cells", "--dry-run", "--json").json
    assert {each["state"] for each in found} == {"done"}


@pytest.mark.slow
def test_a_failed_cell_does_not_stop_the_rest(robustill: Robustill, file: Path) -> None:
    text = STUDY.replace("seeds = 2", "seeds = 1") + "[runs.lost]\nrecipe = 'digits_trades_cnn-small'\n"
    file.write_text(text + "set.data.name = 'lost.npz'\n[resources]\ncpus = 1\n")
    first = robustill("study", file, "--jobs", 1)
    assert first.code == 1
    assert "failed: lost seed 0" in first.err
    assert "Traceback" not in first.err
    assert "not there: lost seed 0: lost.npz: there is no such" in first.out
    assert "trades" in first.out
    (failed,) = Path("runs/my-study/cells").rglob("failed.json")
    assert "lost.npz" in json.loads(failed.read_text())["message"]
    log = Path("runs/my-study/study.log").read_text()
    assert robustill("study", file).code == 1
    assert Path("runs/my-study/study.log").read_text() == log
    assert robustill("study", file, "--retry-failed").code == 1
    assert Path("runs/my-study/study.log").read_text().count("running: lost seed 0") == 2


def test_mistakes_are_one_message(robustill: Robustill, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(robustill("study", "nowhere.toml"), "no study file 'nowhere.toml'")
    refused(robustill("study", file, "--only", "trade"), "no such run", "did you mean 'trades'?")
    refused(
        robustill("study", file, "--set", "training.epoch=1", "--dry-run"), "training.epoch: unknown key", "'epochs'"
    )
    refused(robustill("study", file, "--set", "evaluate.image=1"), "evaluate.image: unknown key", "'images'")
    refused(robustill("study", file, "--jobs", 0), "--jobs 0: at least one cell")
    refused(robustill("study", file, "--search"), "my-study has no table [search]")
    refused(robustill("study", file, "--set", "resources.gpus=99"), "wants 99 GPUs")
    file.write_text(STUDY.replace("[runs.trades]", '[runs."../trades"]'))
    refused(robustill("study", file), "runs: '../trades' is no name")
    file.write_text(STUDY.replace("digits_trades_cnn-small", "../../etc/passwd"))
    refused(robustill("study", file), "is outside of the working folder", "--allow FOLDER")


def test_another_study_is_not_overwritten(robustill: Robustill, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out").mkdir()
    Path("out/study.toml").write_text("name = 'first'\n[runs]\na.recipe = 'x'\n")
    refused(robustill("study", file, "--out", "out"), "out holds the study 'first', not 'my-study'", "another --out")
    Path("file").write_text("")
    refused(robustill("study", file, "--out", "file"), "cannot create the folder file")
