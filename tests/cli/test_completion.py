"""Tab: what the shell is offered, through the command itself, and without what takes time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robustill.attacks import named
from robustill.cli import completion
from robustill.data import DATASETS
from robustill.methods import METHODS
from robustill.recipe import shipped_recipes
from robustill.training.track import TRACKERS

CODE = """
import sys
from robustill.cli import main
try:
    main()
finally:
    heavy = {"torch", "numpy", "scipy", "sklearn"} & set(sys.modules)
    assert not heavy, heavy
"""


def offered(words: str, folder: Path) -> list[str]:
    """Ask as bash does: the words so far, the last one incomplete."""
    env = {**os.environ, "_ROBUSTILL_COMPLETE": "complete_bash", "COMP_WORDS": words,
           "COMP_CWORD": str(len(words.split(" ")) - 1)}  # fmt: skip
    command = [sys.executable, "-c", f"import sys; sys.argv = ['robustill']\n{CODE}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=folder)
    assert "Traceback" not in run.stderr, run.stderr
    return run.stdout.split("\n")[:-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs, one of them deep below, a folder of results, weights, a recipe of one's own, and hostile names."""
    for run in ("runs/student", "runs/deep/cells/one", "runs/.hidden", "runs/evil\x1b[2J", "other"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "recipe.toml").write_text("")
    (tmp_path / "runs" / "landscape").mkdir()
    (tmp_path / "runs" / "landscape" / "landscape.json").write_text("{}")
    (tmp_path / "runs" / "net.safetensors").write_text("")
    (tmp_path / "own.toml").write_text("")
    return tmp_path


def test_the_names_are_those_that_there_are() -> None:
    assert completion.methods() == list(METHODS)
    assert set(completion.ATTACKS) == set(named._KNOWN)
    assert sorted(completion.DATA) == sorted(DATASETS)
    assert set(completion.TRACKERS) == set(TRACKERS)


def test_models_that_come_with_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert completion.models("robustill:digits_pgd") == ["robustill:digits_pgd-at_resnet18"]
    assert completion.models("runs/n") == ["runs/net.safetensors"]


def test_verbs_and_recipes_through_the_shell(folder: Path) -> None:
    assert "train" in offered("robustill tr", folder)
    found = offered("robustill train digits_", folder)
    assert found == [name for name in shipped_recipes() if name.startswith("digits_")]
    assert len(found) > 3


def test_runs_and_attacks_through_the_shell(folder: Path) -> None:
    assert offered("robustill evaluate runs/", folder) == [
        "runs/student",
        "runs/deep/cells/one",
        "runs/net.safetensors",
    ]
    assert offered("robustill evaluate runs/student --attacks cw,pgd5", folder) == ["cw,pgd50"]
    assert offered("robustill report runs/la", folder) == ["runs/landscape"]


def test_recipes_have_titles_and_come_with_runs_and_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = dict(completion.recipes(""))
    assert found["digits_rslad_cnn-small"] == "Digits: RSLAD student"
    assert {"own.toml", "other", "runs/student"} <= found.keys()
    assert completion.recipes("ow") == [("own.toml", "")]
    assert completion.recipes("nothing") == []


def test_paths_stay_as_they_were_begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "other")
    assert completion.models("../runs/s") == ["../runs/student"]
    assert completion.models(f"{folder}/runs/d") == [f"{folder}/runs/deep/cells/one"]
    assert completion.models("/nonexistent/x") == []


def test_what_would_steer_a_terminal_is_not_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert not [path for path in completion.models("") if "evil" in path or "hidden" in path]


def test_many_folders_are_not_searched_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(30):
        (tmp_path / f"{k}").mkdir()
    monkeypatch.chdir(tmp_path)
    looked: list[str] = []
    entries = completion._entries
    monkeypatch.setattr(completion, "_FOLDERS", 10)
    monkeypatch.setattr(
        completion, "_entries", lambda path, folders: looked.append(path) or entries(path, folders=folders)
    )
    assert completion.runs("") == []
    assert len(looked) == 10


def test_a_list_does_not_offer_what_it_holds() -> None:
    assert completion.attacks("fgsm,fg") == []
    assert completion.attacks("fg") == ["fgsm"]
    assert "cw,fgsm" in completion.attacks("cw,")
    assert "cw,cw" not in completion.attacks("cw,")


def test_set_knows_the_methods() -> None:
    assert completion.settings("method.name=rs") == ["method.name=rslad"]
    assert len(completion.settings("meth")) == len(METHODS)
    assert completion.settings("training.") == []


def test_installing_it_is_an_option() -> None:
    from typer.testing import CliRunner

    from robustill.cli import app

    text = CliRunner().invoke(app, ["--help"]).stdout
    assert "--install-completion" in text
