"""What the library computes on the CPU and on the far device, as JSON on stdout: `python -m tests.device.both`."""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

import robustill
from robustill.attacks import APGD, FAB, PGD, Square
from robustill.data import Data
from robustill.diagnostics import calibrate, certify, rank_teachers, unlearnable
from robustill.diagnostics.landscapes import landscape
from robustill.methods import METHODS, PGDAT, RSLAD, TRADES
from robustill.models import build_model
from robustill.training import Settings
from robustill.training.device import accelerator_for
from robustill.training.run import Run
from tests.device.far import Far, far_device, register
from tests.methods.test_contract import build
from tests.methods.tiny import batch, gradients
from tests.striped import striped

CPU = torch.device("cpu")
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 20, "threads": 1, "device": "cpu"}
ATTACK = PGD(eps=0.1, step_size=0.05, steps=2)
Case = Callable[[torch.device, Path], Any]


def loss(name: str, device: torch.device, folder: Path) -> Any:
    """Return a method's loss and the lengths of the student's gradients."""
    method, (x, y) = build(name).to(device), batch()
    torch.manual_seed(0)
    found = method(x.to(device), y.to(device))
    if isinstance(found.total, Far) != (device != CPU):
        raise AssertionError(f"the loss is on {found.total.device}")
    return [found.total.item(), *(each.norm().item() for each in gradients(found.total, method.student))]


def forgetful(device: torch.device, folder: Path) -> Any:
    """Stands for code that makes a tensor without saying where."""
    return (torch.rand(3, device=device) + torch.zeros(3)).tolist()


def trained(method: Callable[[], Any], changes: dict[str, Any], device: torch.device, folder: Path) -> Any:
    settings = Settings.model_validate({**SHORT, **changes})
    found = robustill.train(method(), data(), settings, out=folder, progress=False)
    # The files can be read on the CPU, wherever they were written.
    weights = robustill.load_model(folder / "student.safetensors").state_dict().values()
    assert {each.device for each in weights} == {CPU}
    return [[line["loss"], line["validation"]["robust"]] for line in found.history]


def resumed(device: torch.device, folder: Path) -> Any:
    run_epoch = Run.run_epoch

    def cut(self: Run, *args: Any) -> None:
        if self.epoch:
            raise KeyboardInterrupt
        run_epoch(self, *args)

    settings = Settings.model_validate(SHORT)
    with mock.patch.object(Run, "run_epoch", cut), suppress(KeyboardInterrupt):
        robustill.train(trades(), data(), settings, out=folder, progress=False)
    with mock.patch.object(Run, "run_epoch", run_epoch):
        found = robustill.train(trades(), data(), settings, out=folder, resume=True, progress=False)
    return [line["loss"] for line in found.history]


def evaluated(asked: dict[str, Any], device: torch.device, folder: Path) -> Any:
    found = robustill.evaluate(
        placed(0, device), data(), images=12, transfer_from=placed(3, device), progress=False, **asked
    )
    return [found.accuracy("clean"), *(found.accuracy(name) for name in found.to_json()["attacks"])]


def searched(norm: Any, eps: float, device: torch.device, folder: Path) -> Any:
    """Return how far each search's points are from the images, for every image."""
    x, y = next(data().test.batches(12))
    asked = {"eps": eps, "norm": norm}
    found = []
    for search in (APGD(steps=5, **asked), FAB(steps=5, **asked), Square(queries=30, **asked)):
        drawn = torch.Generator().manual_seed(0)
        points = search(placed(0, device), x.to(device), y.to(device), generator=drawn)
        found.append((points - x.to(device)).flatten(1).norm(dim=1).tolist())
    return found


def calibrated(bounds: str, device: torch.device, folder: Path) -> Any:
    pair = placed(0, device), placed(1, device)
    found = calibrate(*pair, data(), [0.05], bounds=bounds, images=6, steps=3, restarts=2, progress=False).to_json()
    radius = found["radii"][0]
    return [radius["calibration"]["lower"]["mean"], radius["calibration"]["upper"]["mean"]]


def certified(asked: dict[str, Any], device: torch.device, folder: Path) -> Any:
    found = certify(placed(0, device), data(), [0.05], images=6, steps=3, progress=False, **asked).to_json()
    return [found["radii"][0]["certified"]["accuracy"], found["radii"][0]["attacked"]["accuracy"]]


def ranked(device: torch.device, folder: Path) -> Any:
    student = placed(0, device)
    found = unlearnable({"a": student, "b": placed(1, device)}, data(), "pgd10", eps=0.25, progress=False)
    teachers = {"t": placed(2, device), "u": placed(3, device)}
    ranking = rank_teachers(teachers, student, data(), found, resamples=10, progress=False).to_json()
    surfaces = [each["surfaces"]["student"]["entropy"] for each in ranking["teachers"]]
    return [ranking["sizes"], [each["unlearnable"]["mean"] for each in surfaces]]


def walked(device: torch.device, folder: Path) -> Any:
    asked: dict[str, Any] = {"radius": 0.4, "points": 3, "directions": 2, "plane": 3, "images": 12, "steps": 2}
    found = landscape({"a": placed(0, device)}, data(), eps=0.05, progress=False, **asked)["runs"]["a"]
    return [found["loss"], found["curves"], found["plane"]["losses"]]


def data() -> Data:
    return striped(60, 20)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("cnn_small", num_classes=3, shape=(1, 8, 8)).eval()


@cache
def learned(seed: int) -> nn.Module:
    """Return a network that is right on some images."""
    settings = Settings.model_validate({**SHORT, "epochs": 6})
    return robustill.train(PGDAT(network(seed), attack=ATTACK), data(), settings, progress=False).student_last.eval()


def placed(seed: int, device: torch.device) -> nn.Module:
    return copy.deepcopy(learned(seed)).to(device)


def trades() -> TRADES:
    return TRADES(network(0), attack=ATTACK)


def rslad() -> RSLAD:
    return RSLAD(network(0), network(1), attack=ATTACK)


AVERAGED = {"average": {"name": "ema", "decay": 0.9}, "awp": {"gamma": 0.01}, "clip_norm": 1.0, "channels_last": True}
CASES: dict[str, Case] = {
    **{f"loss of {name}": partial(loss, name) for name in METHODS},
    "forgetful": forgetful,
    "train": partial(trained, rslad, {}),
    "train averaged, perturbed": partial(trained, rslad, AVERAGED),
    "train in parts": partial(trained, rslad, {"micro_batches": 2, "attack_view": False, "remember_teachers": False}),
    "watch overfitting": partial(trained, trades, {"overfitting": {"images": 20}, "average": {"name": "swa"}}),
    "resume": resumed,
    "evaluate": partial(evaluated, {"eps": 0.25, "eps_grid": [0.2]}),
    "autoattack": partial(evaluated, {"eps": 0.3, "attacks": ["autoattack"]}),
    "searches": partial(searched, "Linf", 0.2),
    "searches, L2": partial(searched, "L2", 1.0),
    "calibrate": partial(calibrated, "crown"),
    "calibrate by intervals": partial(calibrated, "ibp"),
    "certify": partial(certified, {}),
    "certify by both": partial(certified, {"bounds": "crown-ibp"}),
    "rank teachers": ranked,
    "landscape": walked,
}


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Let runs compute on `device`."""
    if device == CPU:
        yield
        return

    def accelerator(settings: Settings) -> Any:
        from accelerate.state import AcceleratorState, PartialState

        found = accelerator_for(settings)
        for state in (PartialState, AcceleratorState):
            state._shared_state["device"] = device
        return found

    with far_device(), mock.patch("robustill.training.run.accelerator_for", accelerator):
        yield


def main() -> None:
    torch.set_num_threads(1)
    # Before the first gradient: autograd's engine counts the kinds of devices once.
    far, found = register(), dict[str, dict[str, Any]]()
    for seed in range(4):
        learned(seed)
    for name, case in CASES.items():
        for device in (CPU, far):
            with tempfile.TemporaryDirectory() as folder, on(device):
                try:
                    found.setdefault(name, {})[device.type] = case(device, Path(folder))
                except Exception:
                    found.setdefault(name, {})["error"] = traceback.format_exc()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
