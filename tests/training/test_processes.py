"""Two processes learn what one learns."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from robustill.data import load_data
from robustill.errors import InputError
from robustill.methods import METHODS
from robustill.training import train
from robustill.training.interrupt import stop_requests
from robustill.training.parts import check_processes, portions, positions
from tests.training import launched
from tests.training.launched import EXACT, ISSUE, Stopping, exact, net, odd, rslad, settings, stopped


def launch(*command: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    start = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return subprocess.Popen([*start, *command], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: "subprocess.Popen[str]") -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=600)
    finally:
        process.terminate()
    assert process.returncode == 0, err[-4000:]
    return out, err


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes have worked in."""
    out = tmp_path_factory.mktemp("two")
    stopped(out / "1 to 2")
    finish(launch(str(launched.__file__), str(out)))
    return out


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that one process has worked in."""
    out = tmp_path_factory.mktemp("one")
    for name, build in ISSUE.items():
        train(build(), load_data("digits"), settings(), out=out / name, progress=False)
    return out


def lines(folder: Path) -> list[dict[str, Any]]:
    return [flat(json.loads(line)) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def flat(line: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in line.items():
        found |= {f"{key}.{k}": v for k, v in flat(value).items()} if isinstance(value, dict) else {key: value}
    return {key: value for key, value in found.items() if key != "seconds"}


def close(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], rel: float) -> None:
    assert len(ours) == len(theirs)
    for line, other in zip(ours, theirs, strict=True):
        assert line.keys() == other.keys()
        for key, value in other.items():
            # A verdict at the edge of a decision may fall either way.
            verdict = key.startswith(("validation", "probe", "overfitting"))
            near = {"abs": 0.015} if verdict else {"rel": rel, "abs": rel / 10}
            assert line[key] == (value if isinstance(value, str) else pytest.approx(value, **near)), (key, line, other)


@pytest.mark.parametrize("name", ISSUE)
def test_two_processes_have_the_losses_of_one(name: str, one: Path, two: Path) -> None:
    ours, theirs = lines(two / name), lines(one / name)
    assert sum(line["kind"] == "step" for line in theirs) == 20
    close(ours, theirs, 3e-4)
    begun = ISSUE[name]().student.state_dict()
    there, here = (load_file(folder / name / "student_last.safetensors") for folder in (one, two))
    moved, apart = (
        sum(float((there[key] - other[key]).square().sum()) ** 0.5 for key in begun) for other in (begun, here)
    )
    assert apart < 0.005 * moved


@pytest.mark.parametrize("name", [name for name in EXACT if name != "own batch norm"])
def test_what_looks_at_the_whole_batch_sees_all_of_it(name: str, two: Path) -> None:
    expected, found = exact(name), json.loads((two / "history.json").read_text())[name]
    close([flat(line) for line in found], [flat(line) for line in expected.history], 1e-6)
    weights = torch.load(two / "weights.pt", weights_only=True)[name]
    for key, value in expected.student_last.state_dict().items():
        torch.testing.assert_close(weights[key], value, rtol=1e-6, atol=1e-9)


def test_own_batch_norm_is_averaged(two: Path) -> None:
    expected = exact("own batch norm").student_last.state_dict()
    weights = torch.load(two / "weights.pt", weights_only=True)["own batch norm"]
    key = "layers.1.running_"
    assert torch.allclose(weights[key + "mean"], expected[key + "mean"], rtol=1e-9)
    apart = (weights[key + "var"] - expected[key + "var"]) / expected[key + "var"]
    assert bool((apart.abs() > 1e-8).any()), "each by its own share"
    assert bool((apart.abs() < 0.05).all())


def test_no_example_is_seen_twice_or_missed(two: Path) -> None:
    seen = [torch.load(two / f"seen{k}.pt", weights_only=True) for k in range(2)]
    assert [len(each) for each in seen] == [3, 3]
    assert [len(rows) for _, rows in seen[0]] == [33, 33, 1]
    assert [len(rows) for _, rows in seen[1]] == [32, 32, 1]
    learned = torch.cat([rows for each in seen for _, rows in each[:2]])
    last = seen[0][2][1]
    assert torch.equal(last, seen[1][2][1]), "one image for two processes: each learns it, and counts it half"
    assert sorted([*learned.tolist(), *last.tolist()]) == list(range(131))
    for number, (x, _) in enumerate(odd().batches(0, batch_size=65)):
        parts = [each[number][0] for each in seen]
        assert torch.equal(torch.cat(parts if number < 2 else parts[:1]), x), "augmented as in one process"


def test_resume_from_two_to_one_and_back(one: Path, two: Path) -> None:
    train(rslad(Stopping), load_data("digits"), settings(), out=two / "2 to 1", resume=True, progress=False)
    for name in ("2 to 1", "1 to 2"):
        close(lines(two / name), lines(one / "rslad"), 1e-3)


def test_one_process_writes(two: Path) -> None:
    assert not (two / "of the second").exists()
    written = {path.name for path in (two / "rslad").iterdir()}
    assert written == {
        "last.pt",
        "last.previous.pt",
        "metrics.jsonl",
        "student.safetensors",
        "student_last.safetensors",
    }


@pytest.mark.slow
def test_the_command_line(tmp_path: Path) -> None:
    changes = ("data.limit=300", "training.epochs=1", "attack.steps=1", "training.overfitting.images=20")
    sets = [part for change in changes for part in ("--set", change)]
    out, err = finish(launch("-m", "robustill", "train", "digits_pgd-at_cnn-small", "--out", str(tmp_path), *sets))
    assert out.count("accuracy on the validation split") == 1
    assert "Traceback" not in err
    expected = {"recipe.toml", "diagnostics.json", "overfitting.svg", "student.safetensors", "metrics.jsonl"}
    assert expected <= {path.name for path in tmp_path.iterdir()}
    assert [line["kind"] for line in lines(tmp_path)] == ["epoch"]


def test_shares_make_up_the_batch() -> None:
    for size, parts, processes in ((130, 1, 2), (7, 2, 3), (65, 3, 8), (10, 4, 4)):
        each = [portions(size, parts, process=k, processes=processes) for k in range(processes)]
        assert sum(portion.weight for own in each for portion in own) == pytest.approx(1)
        shared = [p for own in each for p in own if p.share and not p.share.repeated]
        repeated = [p for p in each[0] if p not in shared]
        seen = [row for some in (shared, repeated) if some for row in positions(some).tolist()]
        assert sorted(seen) == list(range(size))


def test_what_a_launcher_repeats_is_one_request() -> None:
    with stop_requests(launched=True) as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop
        stop.since -= 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_cannot_be_shared_is_refused() -> None:
    legacy = METHODS["dgad"](net(0), net(1), legacy_mnv2=True)
    with pytest.raises(InputError, match="2 processes: DGAD's legacy_mnv2 multiplies means"):
        check_processes(legacy, settings(), 2)
    check_processes(legacy, settings(), 1)
    with pytest.raises(InputError, match=r"batch_size = 7 in 2 parts is too small for 4 processes"):
        check_processes(rslad(), settings(batch_size=7, micro_batches=2), 4)
