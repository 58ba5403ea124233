"""The documentation's code: Python blocks run, commands exist with their options, the tutorial's commands run."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from robustill.models import MODELS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
# A block that cannot run says so, and why, where readers see it.
NOT_RUN = 'title="Not run'
_LAUNCHERS = r"(?:OMP_NUM_THREADS=\d+ )?(?:torchrun|accelerate launch)\b.*? -m "

Block = tuple[str, str]


def blocks(text: str, language: str) -> list[Block]:
    """Return (rest of the info string, code) of each fenced block in a language."""
    fence = rf"^```{language}\b([^\n]*)\n(.*?)^```$"
    return [(info.strip(), code) for info, code in re.findall(fence, text, flags=re.MULTILINE | re.DOTALL)]


def commands(text: str) -> list[list[str]]:
    """Return the robustill commands of a page's sh blocks, each as its words after `robustill`."""
    lines = "".join(code for _, code in blocks(text, "sh")).replace("\\\n", " ").splitlines()
    lines = [re.sub(rf"^{_LAUNCHERS}", "", line) for line in lines]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("robustill ")]


def run_blocks(text: str, where: str) -> None:
    """Run a page's blocks in one namespace; of a block that is not run, the imports."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for info, code in blocks(text, "python"):
        assert info == "" or re.fullmatch(r'title="Not run[^"]{10,}"', info), f"{where}: what is {info!r}?"
        if info:
            code = "".join(re.findall(r"^(?:import|from) .*\n", code, flags=re.MULTILINE))
        exec(compile(code, where, "exec"), names)


WITH_PYTHON = [page for page in PAGES if blocks(page.read_text(encoding="utf-8"), "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    known = dict(MODELS)
    try:
        run_blocks(page.read_text(encoding="utf-8"), page.name)
    finally:
        for name in MODELS.keys() - known.keys():
            del MODELS[name]


def test_few_blocks_are_not_run() -> None:
    found = [info for page in WITH_PYTHON for info, _ in blocks(page.read_text(encoding="utf-8"), "python")]
    assert len(found) > 10
    assert sum(NOT_RUN in info for info in found) <= 3


@cache
def verbs() -> dict[str, Any]:
    import typer.main

    from robustill.cli import app

    group: Any = typer.main.get_command(app)
    context = group.make_context("robustill", [], resilient_parsing=True)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def parse(words: list[str]) -> None:
    """Parse a command without running it."""
    while words[0] == "--import":
        words = words[2:]
    verb, *rest = words
    assert verb in verbs(), f"there is no verb {verb}"
    verbs()[verb].make_context(verb, list(rest))


WITH_COMMANDS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        try:
            parse(words)
        except Exception as error:
            pytest.fail(f"robustill {shlex.join(words)}: {type(error).__name__}: {error}")


def test_every_verb_is_shown_somewhere() -> None:
    shown = {words[0] for page in PAGES for words in commands(page.read_text(encoding="utf-8"))}
    assert set(verbs()) <= shown | {"list"}


def test_shipped_recipes_are_named_as_they_are() -> None:
    from robustill.recipe import shipped_recipes

    for page in WITH_COMMANDS:
        for words in commands(page.read_text(encoding="utf-8")):
            for recipe in words:
                if re.match(r"(digits|fashion-mnist|cifar10|cifar100)_[a-z]", recipe):
                    assert recipe in shipped_recipes(), f"{page.name}: {recipe}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```sh\nrobustill evalute runs/a\n```\n", "there is no verb evalute"),
        ("```sh\nrobustill evaluate runs/a --atacks pgd20\n```\n", "--atacks"),
        ("```sh\nrobustill certify\n```\n", "(?i)missing"),
        ("```sh\nOMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m robustill train R --no-such\n```\n", "--no-such"),
        ("```python\nimport robustill\nrobustill.trian\n```\n", "trian"),
        ('```python title="Not run: it takes hours"\nfrom robustill.study import open_stduy\n```\n', "open_stduy"),
        ("```python norun\n1\n```\n", "norun"),
    ],
)
def test_what_is_wrong_is_seen(text: str, message: str) -> None:
    def check() -> None:
        run_blocks(text, "page")
        for words in commands(text):
            parse(words)

    with pytest.raises(Exception, match=message):
        check()


# Options that shorten each verb of the tutorial.
_SHORT = {
    "train": "--set training.epochs=2 --set data.limit=300 --set attack.steps=2",
    "rank-teachers": "--set training.epochs=2 --set data.limit=300 --images 60 --references 1",
    "evaluate": "--images 20 --no-checks --processes 1",
    "calibrate": "--images 10 --steps 3 --restarts 1 --eps 0.01 --bounds crown-ibp",
    "certify": "--images 10 --steps 3 --restarts 1 --eps 0.01",
    "report": "--no-gallery",
    "doctor": "",
}


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from robustill.cli import main

    monkeypatch.chdir(tmp_path)
    for words in commands((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")):
        short = shlex.split(_SHORT[words[0]])
        if "digits_standard_cnn-wide" in words:
            short = short[:4]
        if "autoattack" in words:
            words = ["autoattack-fast" if word == "autoattack" else word for word in words]
        with pytest.raises(SystemExit) as ended:
            main([*words, *short])
        # A teacher of two epochs may be found wanting.
        assert not ended.value.code or words[0] == "doctor", shlex.join(words)
    for file in ("student/calibration.json", "student/certification.json", "alone/evaluation.json"):
        assert (tmp_path / "runs" / file).is_file()
    assert "Teacher ranking" in (tmp_path / "report.html").read_text(encoding="utf-8")
