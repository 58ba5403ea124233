"""Processes of one evaluation that this process starts itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.errors import InputError, RobustillError
from robustill.evaluation import Evaluation, evaluate, helpers
from robustill.runs.evaluate import _processes
from tests.evaluation.conftest import Brightness


def run(model: nn.Module, data: Data, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "attacks": ("fgsm", "apgd-ce"), "progress": False, "checks": False, **changes}
    return evaluate(model, data, **given)


@pytest.mark.slow
def test_two_processes_find_what_one_does(model: nn.Module, data: Data, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    one, two = run(model, data), run(model, data, processes=2, out=tmp_path)
    assert list(two.verdicts) == list(one.verdicts)
    for name, right in one.verdicts.items():
        assert torch.equal(two.verdicts[name], right), name
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation.json", "verdicts.safetensors"}
    assert torch.get_num_threads() == threads
    # Everything is known: nobody has anything to do.
    assert run(model, data, out=tmp_path).seconds == two.seconds


class Local(Brightness):
    """Cannot be sent: it holds a function that has no name."""

    def __init__(self) -> None:
        super().__init__()
        self.change = lambda x: x

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.change(x))


def test_a_model_that_cannot_be_sent(data: Data) -> None:
    with pytest.raises(InputError, match=r"the model cannot be sent to another process(.|\n)*processes=1"):
        run(Local(), data, processes=2)


class Luck:
    """No plain attribute of a network: it decides nothing that its digest would have to know."""

    sent, calls = False, 0


class Failing(Brightness):
    """Works where it was made, and fails in a process of one thread that was given it."""

    def __init__(self) -> None:
        super().__init__()
        self.luck = Luck()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.luck.sent = True

    def forward(self, x: Tensor) -> Tensor:
        if self.luck.sent:
            self.luck.calls += 1
            if self.luck.calls > 6:
                raise ValueError("out of luck")
        return super().forward(x)


@pytest.mark.slow
def test_a_process_that_fails_is_one_clear_error(data: Data, tmp_path: Path) -> None:
    with pytest.raises(RobustillError, match=r"a process of the evaluation failed: ValueError: out of luck"):
        run(Failing(), data, processes=2, out=tmp_path)
    assert (tmp_path / "verdicts-0of2.safetensors").exists(), "what was found is kept"


@pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
def test_impossible_numbers(model: nn.Module, data: Data, count: Any) -> None:
    with pytest.raises(InputError, match="processes is"):
        run(model, data, processes=count)


def test_one_process_has_no_helpers(model: nn.Module, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers.pickle, "dumps", lambda *_: pytest.fail("something was sent"))
    assert run(model, data, processes=1).accuracy() > 0


def test_by_default_autoattack_takes_all_cores_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    assert _processes(("pgd20", "autoattack"), cpu) == 4
    assert _processes(("pgd20", "autoattack-fast"), cpu) == 1
    assert _processes(("autoattack",), gpu) == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64), raising=False)
    assert _processes(("autoattack",), cpu) == 8
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _processes(("autoattack",), cpu) == 1
