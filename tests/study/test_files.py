"""Study files: what is accepted, and what a mistake says."""

from pathlib import Path

import pytest

from robustill.errors import RecipeError
from robustill.study import load_study, parse_study
from robustill.study.files import to_toml

RUNS = {"rslad": {"recipe": "digits_rslad_cnn-small"}}


def write(folder: Path, text: str) -> Path:
    path = folder / "my-study.toml"
    path.write_text(text)
    return path


def test_a_file_with_defaults(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, '[runs]\nrslad.recipe = "digits_rslad_cnn-small"\n'))
    assert (study.name, study.seeds, study.retries, study.calibrate) == ("my-study", 3, 1, None)
    assert study.evaluate.last
    assert study.runs["rslad"].seeds is None


def test_the_resolved_file_is_the_same_study(tmp_path: Path) -> None:
    text = (
        'seeds = [4, 2]\nbaseline = "a"\nresources.gpus = 0.5\ncalibrate.eps = ["8/255"]\n[base]\nattack.steps = 2\n'
        "[runs.a]\nset = { method.name = 'trades', method.beta = 2 }\ngrid = { training.epochs = [1, 2] }\n"
        "[search]\nrun = 'a'\nspace = { method.beta = { low = 1, high = 6 } }\n"
    )
    study = load_study(write(tmp_path, text))
    assert study.calibrate is not None
    assert study.calibrate.eps == (8 / 255,)
    assert load_study(write(tmp_path, to_toml(study))) == study


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"runs": RUNS, "baselin": "rslad"}, "baselin: unknown key.*\n.*did you mean 'baseline'"),
        ({"runs": {"a": {"recip": "x"}}}, "runs.a.recip: unknown key.*\n.*did you mean 'recipe'"),
        ({"runs": RUNS, "evaluate": {"attack": ["fgsm"]}}, "evaluate.attack: unknown key.*\n.*'attacks'"),
        ({"runs": RUNS, "evaluate": {"images": 0}}, "evaluate.images = 0: "),
        ({"runs": {}}, "runs = {}: "),
        ({}, "runs: missing"),
        ({"runs": RUNS, "baseline": "rsald"}, "baseline: no run 'rsald'\n.*did you mean 'rslad'"),
        ({"runs": RUNS, "search": {"run": "x", "space": {}}}, "search.run: no run 'x'"),
    ],
)
def test_a_mistake_is_named_with_what_is_near(tree: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        parse_study({"name": "s", **tree}, where="s.toml")


NO_NAMES = ("..", "a/b", "../x", "/etc", "a b", "", ".hidden", "a..b", "a\n", "x" * 65, "~root", "a[b]")


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_are_no_paths(name: str) -> None:
    with pytest.raises(RecipeError, match="is no name"):
        parse_study({"name": "s", "runs": {name: {"recipe": "digits_rslad_cnn-small"}}})
    with pytest.raises(RecipeError, match="is no name"):
        parse_study({"name": name, "runs": RUNS})


def test_changes_go_to_the_study_or_to_every_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "[runs]\na.recipe = 'digits_trades_cnn-small'\n[evaluate]\nimages = 7\n")
    study = load_study(path, ["evaluate.images=5", "training.epochs=2", "seeds=[3]", "names.data=digits"])
    assert (study.evaluate.images, study.seeds, study.names) == (5, (3,), {"data": "digits"})
    assert study.set == {"training": {"epochs": 2}}
    with pytest.raises(RecipeError, match="--set 'epochs' is not KEY=VALUE"):
        load_study(path, ["epochs"])


def test_a_file_that_is_not_there_or_no_toml(tmp_path: Path) -> None:
    path = write(tmp_path, "runs = [")
    with pytest.raises(RecipeError, match=r"my-study\.toml is not TOML"):
        load_study(path)
    with pytest.raises(RecipeError, match=r"no study file .*\n.*did you mean .*my-study.toml"):
        load_study(tmp_path / "my-stduy.toml")
