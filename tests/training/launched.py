"""What two processes do in the tests of them: the script that both run, and parts that the tests use themselves."""

import atexit
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Augment, Data, load_data
from robustill.errors import InputError, RobustillError
from robustill.methods import BMTARD, METHODS, PGDAT, RSLAD, Loss, Method, PeerAiD
from robustill.models import build_model
from robustill.training import Interrupted, Settings, TrainResult, train
from robustill.training.device import accelerator_for
from robustill.training.processes import Processes

torch.set_num_threads(1)
LINF = PGD(eps=0.1, step_size=0.05, steps=2, init="uniform")
# Smooth where the sign of a gradient is not: what differs by rounding stays so.
SMOOTH = PGD(eps=0.5, step_size=0.2, steps=2, norm="L2", restarts=2)
STOPPED = 7


def net(seed: int, *, sure: bool = False) -> nn.Module:
    torch.manual_seed(seed)
    network = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    with torch.no_grad():
        list(network.parameters())[-2].mul_(30 if sure else 1)
    return network


class Exact(nn.Module):
    """Batch norms over pixels and over rows, smooth, and in double precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        layers = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Softplus(), nn.Conv2d(8, 4, 3, stride=2), nn.Flatten()]
        self.layers = nn.Sequential(*layers, nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Softplus(), nn.Linear(16, 10))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.double())
        return logits


class Stopping(RSLAD):
    """Sends one process a signal in the middle of a step, unless it goes on."""

    at = 0

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        self.at -= 1
        if self.at == 0 and os.environ.get("RANK", "1") == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(x, y)


class Noting(PGDAT):
    """Remembers what it was shown."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__(student, attack=LINF)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def expect(self, x: Tensor, rows: Tensor) -> None:
        self.seen.append((x.clone(), rows.clone()))


class Counting(PGDAT):
    """Keeps state that nobody reduces."""

    def __init__(self) -> None:
        super().__init__(net(0), attack=LINF)
        self.register_buffer("brightness", torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        self.brightness += x.sum()
        return super().forward(x, y)


def settings(**changes: Any) -> Settings:
    plain = {"epochs": 2, "batch_size": 130, "log_steps": 1, "device": "cpu", "optimizer": {"lr": 0.05}}
    return Settings.model_validate({**plain, **changes})


def rslad(kind: type[RSLAD] = RSLAD) -> Method:
    return kind(net(0), net(1, sure=True), attack=LINF)


ISSUE: dict[str, Callable[[], Method]] = {
    "rslad": rslad,
    "bmtard": lambda: BMTARD(net(0), net(1, sure=True), net(2, sure=True), weight_rate=0.3, attack=LINF),
    "peeraid": lambda: PeerAiD(net(0), net(1), attack=LINF),
}
EXACT: dict[str, tuple[Callable[[], Method], dict[str, Any]]] = {
    "batch norm, awp, ema": (
        lambda: RSLAD(Exact(), net(1, sure=True), attack=SMOOTH),
        {"awp": {"gamma": 0.01}, "average": {"name": "ema", "decay": 0.9}, "clip_norm": 0.1},
    ),
    "batch norm, parts, swa": (
        lambda: RSLAD(Exact(), net(1, sure=True), attack=SMOOTH),
        {"micro_batches": 3, "average": {"name": "swa"}, "overfitting": {"images": 30}},
    ),
    "peeraid, batch norm, growing attack": (
        lambda: PeerAiD(Exact(), Exact(), attack=SMOOTH),
        {"first_attack_steps": 1},
    ),
    "spread teacher": (
        lambda: METHODS["adaad"](Exact(), Exact(), attack=SMOOTH),
        {"spread_teachers": True},
    ),
    "absld": (lambda: METHODS["absld"](Exact(), net(1, sure=True), attack=SMOOTH), {}),
    "saad": (lambda: METHODS["saad"](Exact(), net(1, sure=True), beta=0.5, attack=SMOOTH), {}),
    "ciard": (lambda: METHODS["ciard"](Exact(), Exact(), net(2, sure=True), begin=1, attack=SMOOTH), {}),
    "fair_ard, mtard": (
        lambda: METHODS["fair_ard"](METHODS["mtard"](Exact(), net(1, sure=True), net(2), attack=SMOOTH)),
        {},
    ),
    "own batch norm": (
        lambda: RSLAD(Exact(), net(1), attack=SMOOTH),
        {"sync_batch_norm": False, "epochs": 1, "batch_size": 90},
    ),
}
# The last batch has one image for two processes.
ODD = {"batch_size": 65, "epochs": 1, "optimizer": {"lr": 1e-3}}


def few() -> Data:
    return load_data("digits", limit=100)


def odd() -> Data:
    images = np.random.default_rng(0).integers(0, 256, (131, 1, 8, 8)).astype(np.uint8)
    part = (images, np.arange(131) % 10)
    return Data.from_arrays(part, part, validation=0, augment=Augment(crop=2, flip=True))


def exact(name: str) -> TrainResult:
    build, changes = EXACT[name]
    plain = {"batch_size": 31, "attack_view": False, "optimizer": {"lr": 0.02}, **changes}
    return train(build(), few(), settings(**plain), progress=False)


def stopped(out: Path) -> None:
    method = Stopping(net(0), net(1, sure=True), attack=LINF)
    method.at = STOPPED
    with pytest.raises(Interrupted, match=f"epoch 1, step {STOPPED}"):
        train(method, load_data("digits"), settings(), out=out, progress=False)


def work(out: Path) -> None:
    """What each of two processes does; the second one is given folders that must stay empty."""
    first = os.environ["RANK"] == "0"
    mine = out if first else out / "of the second"
    data = load_data("digits")
    for name, build in ISSUE.items():
        train(build(), data, settings(), out=mine / name, progress=False)
    stopped(mine / "2 to 1")
    train(rslad(Stopping), data, settings(), out=out / "1 to 2", resume=True, progress=False)
    results = {name: exact(name) for name in EXACT}
    noting = Noting(net(0))
    train(noting, odd(), settings(**ODD), progress=False)
    torch.save(noting.seen, out / f"seen{os.environ['RANK']}.pt")
    if first:
        (out / "history.json").write_text(json.dumps({name: result.history for name, result in results.items()}))
        torch.save({name: result.student_last.state_dict() for name, result in results.items()}, out / "weights.pt")
    spread()
    refusals(first)


def spread() -> None:
    """Each process holds a part of the teacher, to the last bit with the same result."""
    histories = []
    for wanted in (False, True):
        torch.manual_seed(4)
        teacher = build_model("resnet18", num_classes=10, shape=(1, 8, 8), width=4)
        method = METHODS["adaad"](net(0), teacher, attack=LINF)
        changes = {"epochs": 1, "batch_size": 31, "attack_view": False, "remember_teachers": False}
        histories.append(train(method, few(), settings(**changes, spread_teachers=wanted), progress=False).history)
        whole = sum(weight.numel() for weight in teacher.parameters())
        held = sum(getattr(weight, "to_local", lambda w=weight: w)().numel() for weight in teacher.parameters())
        assert (0.4 < held / whole < 0.6) if wanted else held == whole
    assert histories[0] == histories[1]


def refusals(first: bool) -> None:
    with pytest.raises(RobustillError, match="brightness is not the same in all 2 processes"):
        train(Counting(), few(), settings(epochs=1), progress=False)
    with pytest.raises(InputError, match="do not train the same"):
        train(rslad(), few() if first else odd(), settings(epochs=1), progress=False)
    processes = Processes(accelerator_for(settings()))

    def fail() -> None:
        raise InputError("what", "to do")

    with pytest.raises(InputError, match=r"what\n  hint: to do"):
        processes.once(fail)
    assert processes.once(lambda: processes.index) == 0
    assert processes.any(first)
    assert not processes.any(False)
    assert processes.sum(1.5) == 3.0


def threads() -> list[str]:
    """The names of this process's threads, where the system tells."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    work(Path(sys.argv[1]))
    atexit._run_exitfuncs()
    # One that outlives the interpreter kills the process now and then.
    assert not [name for name in threads() if "gloo" in name]
