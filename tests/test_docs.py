"""The README's code runs, its commands exist, and what is generated is current."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from robustill.errors import RobustillError
from robustill.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_library_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 13
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    found = re.search(r"clean (0\.\d+), worst attack (0\.\d+), 95% 0\.\d+ to 0\.\d+", capsys.readouterr().out)
    assert found is not None
    # It shows a student that has learned.
    assert float(found[1]) > 0.93
    assert float(found[2]) > 0.4
    assert (tmp_path / "runs" / "rslad" / "student.safetensors").exists()


def test_the_command_example_names_existing_recipes_and_options() -> None:
    commands = [shlex.split(line) for line in "\n".join(blocks("sh")).splitlines() if line.startswith("robustill ")]
    assert len(commands) == 14
    recipes = [command[2] for command in commands if command[1] == "train"]
    for recipe in recipes:
        assert load_recipe(recipe).data.name == "fashion-mnist"
    for command in commands:
        shown = subprocess.run(
            [sys.executable, "-c", "from robustill.cli import main; main()", command[1], "--help"],
            capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": "", "TERM": "dumb"},
        ).stdout  # fmt: skip
        for option in (part for part in command if part.startswith("--")):
            assert option in shown, f"{command[1]} has no {option}"


def test_generated_pages_are_current() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_an_unknown_recipe_is_an_error() -> None:
    with pytest.raises(RobustillError, match="fashion-mnist_rslad_cnn-small"):
        load_recipe("fashion-mnist_rslad_cnnsmall")
