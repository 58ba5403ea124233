"""`robustill simulate`."""

import json
from pathlib import Path
from typing import Any

import pytest

from robustill.theory import simulate as theory_simulate
from tests.cli.command import Robustill, refused

SIZE = {"steps": 60, "evaluate-every": 20, "train": 20, "test": 20, "filters": 4, "seeds": "0,3", "workers": 1}
QUICK = ["simulate", *(part for key, value in SIZE.items() for part in (f"--{key}", value))]
SWEEP = ["--margins", "0,2,-2", "--uninformative", "0.5"]
KEYS = {"teacher", "p_unlearnable", "seed", "peak", "final", "gap", "signal", "noise_unlearnable", "noise_learnable"}


def test_simulate_writes_what_it_prints(robustill: Robustill) -> None:
    found = robustill(*QUICK, *SWEEP, "--p-unlearnable", "0,0.3", "--json", "--out", "found").json
    assert found == json.loads(Path("found/simulation.json").read_text())
    assert all(set(run) >= KEYS for run in found["runs"])
    grid = {(run["teacher"], run["p_unlearnable"], run["seed"]) for run in found["runs"][:12]}
    assert grid == {(t, p, s) for t in ("hard", "confident", "uncertain") for p in (0.0, 0.3) for s in (0, 3)}
    assert [run["teacher"] for run in found["runs"][12::2]] == ["margin 2", "margin -2", "everywhere 0.5"]
    assert len(found["curves"]) == len(found["runs"]) == 18
    assert found["curves"][0]["steps"] == [0, 20, 40, 60]
    assert (found["settings"]["steps"], found["settings"]["lr"], found["settings"]["alpha"]) == (60, 0.01, 5.0)
    assert (found["sweep"]["p_unlearnable"], found["runs"][0]["noise_unlearnable"]) == (0.3, None)
    names = ["accuracies.svg", "entropy.svg", "responses.svg", "simulation.json"]
    assert sorted(path.name for path in Path("found").iterdir()) == names


def test_simulate_for_people(robustill: Robustill) -> None:
    text = robustill(*QUICK, *SWEEP, "--figures", "png").out
    for part in ("confident", "everywhere 0.5", "margin -2", "noise U", "Spearman", "mismatch of threat models"):
        assert part in text
    assert "runs/simulation: simulation.json and figures" in text
    assert Path("runs/simulation/accuracies.png").read_bytes().startswith(b"\x89PNG")
    run = next(
        run
        for run in json.loads(Path("runs/simulation/simulation.json").read_text())["runs"]
        if run["p_unlearnable"] == 0.15
    )
    assert f"{run['signal']:.1f}" in text


def test_the_help_says_what_it_is_no_model_of(robustill: Robustill) -> None:
    text = " ".join(robustill("simulate", "--help").out.split())
    assert "no model of PGD adversarial training" in text
    assert "confident" in text


def test_the_theorems_setting_has_its_own_defaults(robustill: Robustill) -> None:
    found = robustill(*QUICK, "--regime", "theory", "--no-sweep", "--json", "--train", "100").json
    assert (found["settings"]["lr"], found["settings"]["regime"]) == (0.2, "theory")
    assert found["grid"]["p_unlearnable"] == [0.0, 0.02]
    assert found["sweep"] is None
    assert not Path("runs/simulation/entropy.svg").exists()


def test_an_interrupt_keeps_what_is_finished(robustill: Robustill, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = theory_simulate, list[int]()

    def interrupted(cases: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(cases))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(cases, *args, **kwargs)

    monkeypatch.setattr("robustill.theory.simulate", interrupted)
    outcome = robustill(*QUICK, *SWEEP)
    assert outcome.code == 130
    assert "runs/simulation/simulation.json holds the 12 runs that were finished" in outcome.err
    assert calls == [12, 6]
    found = json.loads(Path("runs/simulation/simulation.json").read_text())
    assert len(found["runs"]) == 12


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--teachers", "hard,confidant"], ["there is no teacher 'confidant'", "did you mean 'confident'?"]),
        (["--teachers", ","], ["there is nothing to simulate"]),
        (["--seeds", "0,x"], ["--seeds: 'x' is not a whole number", "write 0,1,2"]),
        (["--seeds", "-1"], ["seed is -1"]),
        (["--p-unlearnable", "0,many"], ["--p-unlearnable 'many' is not a number"]),
        (["--p-unlearnable", "0,1.5"], ["p_unlearnable is 1.5; it must be from 0 to 1"]),
        (["--p-unlearnable", "0"], ["there are none", "--sweep-p, e.g. 0.15, or --no-sweep"]),
        (["--margins", "0,inf"], ["a teacher's margin is inf"]),
        (["--regime", "theroy"], ["there is no regime 'theroy'", "did you mean 'theory'?"]),
        (["--steps", "0"], ["steps is 0; it must be an integer of at least 1"]),
        (["--eps", "half"], ["--eps 'half' is not a number"]),
        (["--eps", "-0.5"], ["eps is -0.5"]),
        (["--evaluate-every", "0"], ["evaluate_every is 0"]),
        (["--workers", "0"], ["workers is 0"]),
        (["--figures", "jpeg"], ["there is no figure format 'jpeg'"]),
        (["--lr", "1e9"], ["diverged before step", "lower --lr"]),
        (["--out", "file"], ["cannot create the folder file", "choose another --out"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_mistakes_in_a_simulation(arguments: list[str], parts: list[str], robustill: Robustill) -> None:
    Path("file").write_text("")
    refused(robustill(*QUICK, *SWEEP, *arguments), *parts)
    assert not Path("runs/simulation/simulation.json").exists()
