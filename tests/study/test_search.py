"""The search: judged on the validation split, the same whenever it is replayed, and nothing trained twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from robustill.errors import InputError, RecipeError
from robustill.study import Study
from robustill.study.schedule import Schedule, jobs_of
from robustill.study.search import Trial, best, search
from tests.study.small import Inline, Silent, failing, opened, pretend

pytest.importorskip("optuna", reason="the extra search is not installed")

SPACE = (
    "{ method.beta = { low = 1.0, high = 9.0 }, training.batch_size = [32, 64], attack.steps = { low = 1, high = 4 } }"
)
RUNS = "[runs.trades]\nrecipe = 'digits_trades_cnn-small'\nseeds = 2\n"


def asked(trials: int = 6, batch: int = 2, space: str = SPACE, more: str = "") -> str:
    return f"{RUNS}[search]\nrun = 'trades'\ntrials = {trials}\nbatch = {batch}\nspace = {space}\n{more}"


def peak(job: dict[str, Any]) -> float:
    """A score that is highest at beta 4, and differs by seed."""
    return 0.9 - 0.05 * abs(job["recipe"]["method"]["beta"] - 4) + 0.01 * job["recipe"]["training"]["seed"]


def run(study: Study, runner: Inline) -> list[Trial]:
    def cells(batch: Any) -> None:
        Schedule(jobs_of(batch, study.store), study.store, runner, Silent(), retries=0).run()

    return search(study.cells, study.store, cells)


def test_it_picks_by_validation_and_never_looks_at_the_test_images(tmp_path: Path) -> None:
    jobs: list[dict[str, Any]] = []

    def work(folder: Path) -> int:
        jobs.append(json.loads((folder / "cell.json").read_text()))
        return pretend(peak)(folder)

    found = run(opened(tmp_path, asked()), Inline(work))
    assert len(found) == 6
    values = [trial.value for trial in found]
    for trial in found:
        assert trial.value == pytest.approx(0.9 - 0.05 * abs(trial.settings["method.beta"] - 4) + 0.005)
        assert 1 <= trial.settings["method.beta"] <= 9
        assert trial.settings["training.batch_size"] in (32, 64)
        assert trial.settings["attack.steps"] in (1, 2, 3, 4)
        assert [cell.recipe.attack.steps for cell in trial.cells] == [trial.settings["attack.steps"]] * 2
    assert best(found).value == max(v for v in values if v is not None)
    assert all(job["measures"] == {} for job in jobs)
    assert len({job["training"] for job in jobs}) == len(jobs) == 12


def test_it_is_replayed_without_training_again(tmp_path: Path) -> None:
    study = opened(tmp_path, asked())
    first = run(study, Inline(pretend(peak)))
    again = Inline(pretend(peak))
    assert [trial.settings for trial in run(study, again)] == [trial.settings for trial in first]
    assert again.started == []
    # One that was cut off goes on to the same trials.
    lost = study.store.of(first[4].cells[1])
    (lost / "trained.json").unlink()
    assert [trial.settings for trial in run(study, again)] == [trial.settings for trial in first]
    assert again.started == [lost.name]
    # More trials of the same search begin with these.
    longer = run(opened(tmp_path, asked(trials=8)), again)
    assert [trial.settings for trial in longer[:6]] == [trial.settings for trial in first]
    assert len(again.started) == 1 + 4
    (tmp_path / "other").mkdir()
    other = run(opened(tmp_path / "other", asked(more="seed = 1\n")), Inline(pretend(peak)))
    assert [trial.settings for trial in other] != [trial.settings for trial in first]


def test_a_failed_trial_is_no_winner(tmp_path: Path) -> None:
    def work(folder: Path) -> int:
        job = json.loads((folder / "cell.json").read_text())
        return failing(folder) if job["recipe"]["training"]["batch_size"] == 32 else pretend(peak)(folder)

    found = run(opened(tmp_path, asked()), Inline(work))
    assert {trial.value is None for trial in found if trial.settings["training.batch_size"] == 32} == {True}
    assert best(found).settings["training.batch_size"] == 64
    with pytest.raises(InputError, match="every trial of the search failed"):
        best([trial for trial in found if trial.value is None])


def test_the_winner_is_evaluated_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, runner = opened(tmp_path, asked(trials=3)), Inline(pretend(peak))
    monkeypatch.setattr("robustill.study.run._runner", lambda way, cells: runner)
    found = study.search()
    assert len(found["trials"]) == 3
    assert found["best"]["validation"] == max(trial["validation"] for trial in found["trials"])
    assert found["best"]["test"]["best"]["fgsm"]["n"] == 2
    assert json.loads((study.out / "search.json").read_text()) == found
    from robustill.recipe import load_recipe

    recipe = load_recipe(study.out / "best.toml")
    assert recipe.method.model_extra == {"beta": found["best"]["settings"]["method.beta"]}
    # Two seeds of three trials, and the winner's two again for their evaluation.
    assert len(runner.started) == 8
    assert study.search() == found
    assert len(runner.started) == 8


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("{}", "search.space is empty"),
        ("{ method.beta = 3 }", "search.space.method.beta = 3: neither choices nor a range"),
        ("{ method.beta = [] }", "neither choices"),
        ("{ method.beta = { low = 3, high = 1 } }", "no such range"),
        ("{ method.beta = { low = 0.0, high = 1.0, log = true } }", "no such range"),
        ("{ method.beta = { low = 1, high = 2, stp = 1 } }", r"stp: unknown key\n.*did you mean 'step'"),
        ("{ method.bet = { low = 1, high = 2 } }", r"trades has no such argument\n.*did you mean 'beta'"),
    ],
)
def test_an_impossible_space_is_named(tmp_path: Path, space: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        run(opened(tmp_path, asked(space=space)), Inline(pretend(peak)))


def test_no_search_and_no_validation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no table"):
        run(opened(tmp_path, RUNS), Inline(pretend(peak)))
    with pytest.raises(InputError, match="no wra accuracy on a validation split"):
        run(opened(tmp_path, asked(more="metric = 'wra'\n")), Inline(pretend(peak)))
