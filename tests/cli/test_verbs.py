"""Help, lists, and what holds for every verb."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.markup import render

from robustill import __version__, cli
from robustill.data import DATASETS
from robustill.methods import METHODS, Wrapper
from robustill.models import MODELS, build_model
from robustill.recipe import shipped_recipes
from robustill.shipped import shipped_models
from tests.cli.command import Robustill, refused

VERBS = (
    "demo", "train", "evaluate", "calibrate", "certify", "unlearnable", "rank-teachers", "simulate", "landscape",
    "report", "export", "study", "list", "doctor",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, robustill: Robustill) -> None:
    outcome = robustill(verb, "--help")
    assert outcome.code == 0
    assert f" {verb} [OPTIONS]" in outcome.out
    assert "--help" in outcome.out


@pytest.mark.parametrize("verb", VERBS)
def test_help_fills_its_lines(verb: str, robustill: Robustill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = robustill(verb, "--help").out.partition("╭")[0].strip()
    for paragraph in words.split("\n" + " " * 80 + "\n"):
        lines = [line.strip() for line in paragraph.splitlines()]
        for line, following in itertools.pairwise(lines):
            assert len(line) + 1 + len(following.split()[0]) > 78, line


@pytest.mark.parametrize("verb", VERBS)
def test_help_loses_no_word_to_markup(verb: str) -> None:
    # Words in square brackets are styles to the library that prints help, and vanish from it.
    command = typer.main.get_command(cli.app).commands[verb]  # type: ignore[attr-defined]
    for text in (command.help, *(getattr(each, "help", None) for each in command.params)):
        assert render(text or "").plain == (text or "")


def test_help_names_every_verb(robustill: Robustill) -> None:
    outcome = robustill("--help")
    assert outcome.code == 0
    assert all(f" {verb} " in outcome.out for verb in VERBS)
    places = [outcome.out.index(f"│ {verb} ") for verb in VERBS]
    assert places == sorted(places)
    assert {command.name or command.callback.__name__ for command in cli.app.registered_commands} == set(VERBS)


def test_version(robustill: Robustill) -> None:
    outcome = robustill("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"robustill {__version__}\n", "")


def test_a_wrong_option_is_a_usage_error(robustill: Robustill) -> None:
    outcome = robustill("train", "digits_standard_cnn-small", "--resum")
    assert outcome.code == 2
    assert "No such option" in outcome.err
    assert "--resume" in outcome.err


def test_list_methods_is_the_cards(robustill: Robustill) -> None:
    found = robustill("list", "methods", "--json").json
    assert [each["name"] for each in found] == list(METHODS)
    for each in found:
        assert each["paper"], each
        assert each["inner"], each
        assert each["outer"], each
        assert each["networks"][0] == ("base" if issubclass(METHODS[each["name"]], Wrapper) else "student")
    rslad = {each["name"]: each for each in found}["rslad"]
    assert rslad["inner"] == "KL(T(x) || S(x'))"
    assert "2108.07969" in rslad["paper"]
    assert rslad["networks"] == ["student", "teacher"]
    assert rslad["hyperparameters"]["alpha"] == str(5 / 6)


def test_list_methods_for_people(robustill: Robustill) -> None:
    text = robustill("list").out
    assert all(name in text for name in METHODS)
    assert "the adversary maximises" in text


def test_a_method_of_an_experiment_is_listed_without_a_card(
    robustill: Robustill, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Labelled(METHODS["ard"]):  # type: ignore[misc]
        """In a module whose docstring is no card."""

    monkeypatch.setitem(METHODS, "labelled", Labelled)
    found = next(each for each in robustill("list", "methods", "--json").json if each["name"] == "labelled")
    assert found["networks"] == ["student", "teacher"]
    assert "temperature" in found["hyperparameters"]
    assert found["inner"] == found["paper"] == ""
    assert "labelled" in robustill("list", "methods").out


def test_list_models_data_and_recipes(robustill: Robustill) -> None:
    models = {each["name"]: each["about"] for each in robustill("list", "models", "--json").json}
    assert [name for name in models if not name.startswith("robustill:")] == list(MODELS)
    assert {name for name in models if name.startswith("robustill:")} == {
        f"robustill:{name}" for name in shipped_models()
    }
    small = build_model("cnn_small", num_classes=10, shape=(1, 28, 28))
    assert models["cnn_small"].startswith(f"{sum(p.numel() for p in small.parameters()):,} parameters at 1x28x28")
    data = [each["name"] for each in robustill("list", "data", "--json").json]
    assert [name for name in data if name in DATASETS] == list(DATASETS)
    assert {"PATH", "hf-disk:PATH", "hf-hub:ID"} <= set(data)
    recipes = {each["name"]: each["about"] for each in robustill("list", "recipes", "--json").json}
    assert set(recipes) == set(shipped_recipes())
    assert recipes["digits_rslad_cnn-small"] == "Digits: RSLAD student"
    assert "digits_rslad_cnn-small" in robustill("list", "recipes").out
    assert "hf-hub:ID" in robustill("list", "data").out
    refused(robustill("list", "method"), "there is no list of 'method'", "did you mean 'methods'?")


def test_a_bug_keeps_its_traceback(robustill: Robustill, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise IndexError("a bug")

    monkeypatch.setattr("robustill.catalogue.data_sets", broken)
    with pytest.raises(IndexError, match="a bug"):
        robustill("list", "data")


def test_what_looks_like_markup_is_printed_as_it_is(
    robustill: Robustill, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.symlink(trained, "[bold]run[", target_is_directory=True)
    text = robustill("evaluate", "[bold]run[", "--images", 50, "--attacks", "fgsm").out
    assert "[bold]run[: accuracy" in text
    outcome = robustill("doctor", "--data", "[/x]/[red]y")
    assert outcome.code == 1
    assert "[/x]/[red]y" in outcome.err
    assert "Data: [/x]/[red]y" in outcome.out


def test_the_installed_command() -> None:
    command = [sys.executable, "-c", "from robustill.cli import main; main()", "train", "digits_standard_cnn-smal"]
    env = {**os.environ, "COLUMNS": "40", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.splitlines() == [
        "error: no recipe 'digits_standard_cnn-smal': neither a file nor the name of a shipped one",
        "  hint: did you mean 'digits_standard_cnn-small'?",
    ]
