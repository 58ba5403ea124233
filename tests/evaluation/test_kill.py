"""An evaluation that is killed inside an attack goes on as if nothing had happened."""

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from safetensors import safe_open

from robustill.attacks import Running
from robustill.attacks.rows import State
from robustill.evaluation import Evaluation, runner
from robustill.runs import evaluate_target
from tests.evaluation.digits import digits_model, same_levels, start

IMAGES, QUERIES = 30, 5000
# Saves all the time.
PROGRAM = """
import sys
from robustill.cli import main
from robustill.evaluation import store
store._SAVE_EVERY_S, store._REST = 0.05, 0
main()
"""


class Counted(Running):
    """Counts steps, and the rows that were in flight when a search began."""

    steps_taken: ClassVar[int] = 0
    taken_over: ClassVar[int] = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        Counted.taken_over += 0 if self.state is None else len(self.state["index"])

    def step(self) -> State:
        Counted.steps_taken += 1
        return super().step()


def in_flight(file: Path) -> list[int]:
    """Return how many steps are left to each row of the search on disk; none where there is no file yet."""
    if not file.exists():
        return []
    with safe_open(file, framework="pt") as content:
        return [left for name in content.keys() if name.endswith("/left") for left in content.get_tensor(name).tolist()]  # noqa: SIM118


@pytest.mark.slow
def test_a_killed_evaluation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cut = digits_model(tmp_path / "net.safetensors"), tmp_path / "cut"
    given = ("--data", "digits", "--eps", "0.05", "--attacks", "square", "--images", str(IMAGES), "--no-checks")
    killed = start("-c", PROGRAM, "evaluate", str(file), *given, "--out", str(cut))
    try:
        deadline = time.monotonic() + 60
        while not 0 < min(in_flight(cut / "verdicts.safetensors"), default=0) <= QUERIES - 100:
            assert killed.poll() is None, killed.communicate()
            assert time.monotonic() < deadline, "no row was saved inside the attack"
            time.sleep(0.02)
    finally:
        killed.kill()
        killed.communicate()
    rows = len(in_flight(cut / "verdicts.safetensors"))
    assert rows <= IMAGES
    assert not (cut / "evaluation.json").exists()

    monkeypatch.setattr(runner, "Running", Counted)

    def evaluated(out: Path) -> tuple[Evaluation, int, int]:
        Counted.steps_taken = Counted.taken_over = 0
        found = evaluate_target(
            str(file), data="digits", eps=0.05, attacks="square", images=IMAGES, checks=False, out=out
        )
        return found, Counted.steps_taken, Counted.taken_over

    resumed, less, taken_over = evaluated(cut)
    whole, steps, none = evaluated(tmp_path / "whole")
    assert (taken_over, none) == (rows, 0)
    assert 0 < less <= steps - 100, "what was done before the kill is not done again"
    assert same_levels(cut, tmp_path / "whole")
    assert resumed.accuracy() == whole.accuracy()
    assert 0 < whole.accuracy() < whole.accuracy("clean"), "some fall and some stand"
    assert {path.name for path in cut.iterdir() if not path.name.endswith(".tmp")} == {
        "evaluation.json",
        "verdicts.safetensors",
    }
