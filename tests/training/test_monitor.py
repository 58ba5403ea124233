"""Means of the loss terms, and the stop on the first that is not finite."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.errors import NonFiniteLossError
from robustill.methods import Loss, Method
from robustill.models import build_model
from robustill.training import Settings, train
from robustill.training.checkpoint import read_checkpoint
from robustill.training.monitor import Monitor


def filled(*totals: float) -> Monitor:
    monitor = Monitor()
    for step, total in enumerate(totals):
        monitor.add(step, torch.tensor(total), {"adv": torch.tensor(2 * total)})
    return monitor


def test_means_are_over_steps() -> None:
    monitor = filled(1.0, 2.0, 6.0)
    monitor.flush(0)
    assert monitor.means() == {"adv": 6.0, "loss": 3.0}
    assert monitor.latest == {"adv": 12.0, "loss": 6.0}
    monitor.add(3, torch.tensor(11.0), {"adv": torch.tensor(0.0)})
    monitor.flush(0)
    assert monitor.means() == {"adv": 4.5, "loss": 5.0}
    monitor.flush(0)
    assert monitor.means() == {"adv": 4.5, "loss": 5.0}


def test_a_restored_monitor_goes_on() -> None:
    first, second = filled(1.0, 2.0), Monitor()
    first.flush(0)
    second.restore(first.state())
    second.add(2, torch.tensor(6.0), {"adv": torch.tensor(12.0)})
    second.flush(0)
    assert second.means() == {"adv": 6.0, "loss": 3.0}
    assert first.means() == {"adv": 3.0, "loss": 1.5}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_first_term_that_is_not_finite_is_named(bad: float) -> None:
    monitor = filled(1.0, 2.0)
    monitor.add(2, torch.tensor(1.0), {"adv": torch.tensor(1.0), "nat": torch.tensor(bad)})
    monitor.add(3, torch.tensor(bad), {"adv": torch.tensor(bad), "nat": torch.tensor(bad)})
    with pytest.raises(NonFiniteLossError, match=rf"epoch 8, step 3: the loss is not finite \(nat = {bad}\)"):
        monitor.flush(7)


def test_a_step_keeps_no_graph() -> None:
    monitor, weight = Monitor(), torch.ones(1, requires_grad=True)
    monitor.add(0, (2 * weight).sum(), {})
    assert not monitor._pending[0][1]["loss"].requires_grad


class Breaking(Method):
    """Cross-entropy whose term (or gradient) breaks in one epoch and step."""

    def __init__(self, student: nn.Module, *, epoch: int, step: int, gradient: bool = False) -> None:
        super().__init__()
        self.student, self.at, self.gradient = student, (epoch, step), gradient
        self.epoch = self.step = 0

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.epoch, self.step = epoch, 0

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        nat = nn.functional.cross_entropy(self.student(x), y)
        broken = (self.epoch, self.step) == self.at
        self.step += 1
        if broken and self.gradient:
            nat.register_hook(lambda grad: grad * float("nan"))
            return Loss(nat, {"nat": nat})
        extra = nat.detach() * (float("nan") if broken else 0.0)
        return Loss(nat + extra, {"nat": nat, "extra": extra})


def attempt(tiny_data: Data, out: Path, *, gradient: bool = False, step: int = 1, **settings: object) -> str:
    torch.manual_seed(0)
    method = Breaking(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)), epoch=1, step=step, gradient=gradient)
    table = Settings.model_validate({"epochs": 3, "batch_size": 32, "optimizer": {"lr": 0.02}, **settings})
    with pytest.raises(NonFiniteLossError) as caught:
        train(method, tiny_data, table, out=out, progress=False)
    return str(caught.value)


def check_good_checkpoint(folder: Path, *, epoch: int, step: int) -> None:
    state = read_checkpoint(folder / "last.pt")
    assert (state["epoch"], state["step"]) == (epoch, step)
    assert all(bool(value.isfinite().all()) for value in state["method"].values())


@pytest.mark.parametrize("log_steps", [1, 50])
def test_training_stops_and_the_checkpoint_before_stays(log_steps: int, tiny_data: Data, tmp_path: Path) -> None:
    message = attempt(tiny_data, tmp_path, log_steps=log_steps)
    assert "epoch 2, step 2: the loss is not finite (extra = nan, loss = nan)" in message
    assert "hint: lower optimizer.lr" in message
    check_good_checkpoint(tmp_path, epoch=1, step=0)
    assert not (tmp_path / "student_last.safetensors").exists()


def test_a_checkpoint_inside_the_epoch_is_not_overwritten(tiny_data: Data, tmp_path: Path) -> None:
    attempt(tiny_data, tmp_path, checkpoint_steps=1)
    check_good_checkpoint(tmp_path, epoch=1, step=1)


def test_a_gradient_that_is_not_finite_does_not_reach_the_disk(tiny_data: Data, tmp_path: Path) -> None:
    message = attempt(tiny_data, tmp_path, gradient=True, step=2)
    assert "epoch 2, step 3: the gradient was not finite, and so is layers.0.weight now" in message.replace(
        "student.", ""
    )
    check_good_checkpoint(tmp_path, epoch=1, step=0)


def test_the_run_goes_on_from_the_good_checkpoint(tiny_data: Data, tmp_path: Path) -> None:
    attempt(tiny_data, tmp_path)
    torch.manual_seed(0)
    method = Breaking(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)), epoch=9, step=9)
    table = Settings.model_validate({"epochs": 3, "batch_size": 32, "optimizer": {"lr": 0.02}})
    result = train(method, tiny_data, table, out=tmp_path, resume=True, progress=False)
    assert [line["epoch"] for line in result.history] == [0, 1, 2]
