"""`robustill landscape` on two runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from robustill.cli.app import app
from robustill.errors import InputError, RobustillError
from robustill.models import build_model, save_model
from robustill.recipe import parse_recipe
from tests.recipe.tables import PLAIN

FEW = ["--images", "20", "--points", "3", "--directions", "2", "--steps", "2", "--threads", "1", "--device", "cpu"]


def run_folder(folder: Path, seed: int, **tables: Any) -> Path:
    recipe = parse_recipe({**PLAIN, "method": {"name": "pgd_at"}, "teachers": {}, "attack": {"eps": 0.1}, **tables})
    torch.manual_seed(seed)
    for name in ("student", "student_last"):
        save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), folder / f"{name}.safetensors")
    (folder / "recipe.toml").write_text(recipe.to_toml())
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    return [str(run_folder(tmp_path / name, seed)) for seed, name in enumerate(("one", "two"))]


def ask(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["landscape", *arguments, *FEW])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.stdout


def test_two_runs_in_one_figure(runs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = ask(*runs, "--plane", "3", "--figures", "png", "--out", str(out))
    assert {path.name for path in out.iterdir()} == {"landscape.json", "landscape.png", "plane.png"}
    found = json.loads((out / "landscape.json").read_text())
    assert list(found["runs"]) == ["one", "two"]
    assert (found["settings"]["eps"], found["settings"]["data"]) == (0.1, "digits")
    for words in ("examples regenerated", "at r = 1, mean ± sd of 2", "not re-estimated", "one", "two"):
        assert words in " ".join(text.split())
    assert f"{found['runs']['two']['loss']:.3f}" in text


def test_last_students_files_and_json(runs: list[str], tmp_path: Path) -> None:
    ask(runs[0], "--out", str(tmp_path / "a"))
    last = json.loads(ask(runs[0], "--last", "--json", "--adversary", "fixed", "--out", str(tmp_path / "b")))
    file = str(Path(runs[0]) / "student_last.safetensors")
    again = json.loads(ask(file, "--json", "--adversary", "fixed", "--out", str(tmp_path / "c")))
    assert last["settings"]["adversary"] == "fixed"
    assert last["runs"]["one"]["digest"] == again["runs"]["student_last"]["digest"]
    selected = json.loads((tmp_path / "a" / "landscape.json").read_text())["runs"]["one"]
    assert selected["digest"] != last["runs"]["one"]["digest"]
    assert not (tmp_path / "a" / "plane.svg").exists()


def test_runs_that_do_not_go_together(runs: list[str], tmp_path: Path) -> None:
    other = str(run_folder(tmp_path / "three", 3, data={"name": "digits", "limit": 500}))
    radius = str(run_folder(tmp_path / "four", 4, attack={"eps": 0.2}))
    loose = tmp_path / "loose" / "student.safetensors"
    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), loose)
    with pytest.raises(InputError, match="were trained on other data"):
        ask(runs[0], other)
    with pytest.raises(InputError, match=r"at which radius to attack \(.*one: 0\.1, .*four: 0\.2\)"):
        ask(runs[0], radius)
    with pytest.raises(InputError, match="nothing says which data"):
        ask(str(loose))
    with pytest.raises(InputError, match="a run is named twice"):
        ask(runs[0], runs[0])
    with pytest.raises(InputError, match="no figure format 'gif'"):
        ask(runs[0], "--figures", "gif")
    with pytest.raises(RobustillError, match="nowhere"):
        ask(str(tmp_path / "nowhere.safetensors"), "--data", "digits", "--eps", "0.1")
    found = json.loads(ask(runs[0], radius, str(loose), "--eps", "1/10", "--out", str(tmp_path / "o"), "--json"))
    assert list(found["runs"]) == ["one", "four", "loose"]


def test_the_norm_is_that_of_the_runs(runs: list[str], tmp_path: Path) -> None:
    far = run_folder(tmp_path / "far", 2, attack={"eps": 0.5, "step_size": 0.125, "norm": "L2"})
    found = json.loads(ask(str(far), "--json", "--out", str(tmp_path / "a")))
    assert (found["settings"]["norm"], found["settings"]["eps"]) == ("L2", 0.5)
    found = json.loads(ask(str(far), "--norm", "Linf", "--eps", "0.1", "--json", "--out", str(tmp_path / "b")))
    assert (found["settings"]["norm"], found["settings"]["eps"]) == ("Linf", 0.1)
    with pytest.raises(InputError, match=r"attacked in different norms \(.*one: Linf, .*far: L2\)"):
        ask(runs[0], str(far), "--out", str(tmp_path / "c"))
    with pytest.raises(RobustillError, match="is one of L2, and says nothing of Linf"):
        ask(str(far), "--norm", "Linf", "--out", str(tmp_path / "c"))
    with pytest.raises(InputError, match="unknown norm 'L1'"):
        ask(runs[0], "--norm", "L1", "--out", str(tmp_path / "c"))
