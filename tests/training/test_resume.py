"""A run that was cut off anywhere continues bit-exactly."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustill.attacks import PGD, Objective
from robustill.data import Augment, Data
from robustill.errors import CheckpointError
from robustill.methods import BMTARD, IGDM, METHODS, MTARD, PGDAT, RSLAD, Method, Standard
from robustill.methods.card import networks
from robustill.models import build_model
from robustill.training import Settings, train
from robustill.training.checkpoint import read_checkpoint, save_checkpoint
from robustill.training.run import Run

ATTACK = PGD(eps=0.1, step_size=0.05, steps=2)


class Killed(BaseException):
    """Stands for a process that is gone: nothing is cleaned up."""


def method(name: str, architecture: str = "cnn_small") -> Method:
    torch.manual_seed(1)
    nets = [build_model("cnn_small", num_classes=3, shape=(1, 8, 8)) for _ in networks(METHODS[name])[1:] or [0]]
    nets = nets[: max(len(networks(METHODS[name])) - 1, int(name == "fair_ard"))]
    student = build_model(
        architecture, num_classes=3, shape=(1, 8, 8), **({"width": 4} if "res" in architecture else {})
    )
    attack = {} if name in ("standard", "kd", "ibp", "crown_ibp") else {"attack": ATTACK}
    changes = {"begin": 1} if name in ("iad", "ciard") else {}
    if name == "fair_ard":
        return METHODS[name](METHODS["ard"](student, *nets[:1], temperature=3.0, **attack))
    if name == "soften":
        teacher = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
        return METHODS[name](METHODS["rslad"](student, teacher, **attack), subset=range(0, 120, 3), mode="uniform")
    if name == "vfd_adv":
        return METHODS[name](METHODS["pgd_at"](student, **attack), wide(), alpha=0.1)
    return METHODS[name](student, *nets, **attack, **changes)


def wide() -> torch.nn.Module:
    """Return a network with 512 penultimate features, where the student has 100."""
    return build_model("cnn_wide", num_classes=3, shape=(1, 8, 8))


def settings(**changes: object) -> Settings:
    plain = {"epochs": 3, "batch_size": 16, "checkpoint_steps": 2, "log_steps": 3, "optimizer": {"lr": 0.02}}
    return Settings.model_validate({**plain, **changes})


def cut(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    step, done = Run._train_step, iter(range(10**6))

    def dying(self: Run, x: torch.Tensor, y: torch.Tensor) -> None:
        if next(done) == after:
            raise Killed
        step(self, x, y)

    monkeypatch.setattr(Run, "_train_step", dying)


CASES = {
    "ibp, ema": ("ibp", "cnn_small", {"average": {"name": "ema", "decay": 0.9}}),
    "crown_ibp, bf16": ("crown_ibp", "cnn_small", {"micro_batches": 2, "mixed_precision": "bf16"}),
    "faithful, awp": ("faithful", "cnn_small", {"awp": {"gamma": 0.01}}),
    "rslad, ema and awp": ("rslad", "cnn_small", {"average": {"name": "ema", "decay": 0.9}, "awp": {"gamma": 0.01}}),
    "bmtard, ema and awp": ("bmtard", "cnn_small", {"average": {"name": "ema", "decay": 0.9}, "awp": {"gamma": 0.01}}),
    "trades, batch norm, swa": ("trades", "resnet18", {"average": {"name": "swa", "start": 1}, "epochs": 2}),
    "mtard, adamw, cosine": (
        "mtard",
        "cnn_small",
        {"optimizer": {"name": "adamw", "lr": 1e-3}, "schedule": {"name": "cosine"}},
    ),
    "standard, clipped, one-cycle": ("standard", "cnn_small", {"clip_norm": 0.1, "schedule": {"name": "one_cycle"}}),
    "peeraid, swa and a peer's own optimizer": (
        "peeraid",
        "cnn_small",
        {
            "average": {"name": "swa", "start": 1},
            "guides": {"peer": {"optimizer": {"name": "adamw", "lr": 1e-3}, "schedule": {"name": "cosine"}}},
        },
    ),
    "ciard, a teacher that learns": ("ciard", "cnn_small", {"guides": {"teacher_adv": {"optimizer": {"lr": 1e-3}}}}),
    "fair_ard, class weights": ("fair_ard", "cnn_small", {"loss_scale": 0.1}),
    "vfd_adv, a projection": ("vfd_adv", "cnn_small", {"awp": {"gamma": 0.01}}),
    "soften, some images in parts": ("soften", "cnn_small", {"micro_batches": 2}),
    "absld, class temperatures": ("absld", "cnn_small", {}),
    "iad, trust from the second epoch": ("iad", "cnn_small", {}),
    "pgd_at, bf16": ("pgd_at", "cnn_small", {"mixed_precision": "bf16", "channels_last": True}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("after", [1, 6, 9, 11])
def test_resume_is_bit_exact(
    case: str, after: int, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, architecture, changes = CASES[case]
    train(method(name, architecture), tiny_data, settings(**changes), out=tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        cut(patch, after)
        with pytest.raises(Killed):
            train(method(name, architecture), tiny_data, settings(**changes), out=tmp_path / "cut", progress=False)
    torch.manual_seed(99)
    again = after > 1  # before the first checkpoint there is nothing to go on from
    resumed = train(
        method(name, architecture), tiny_data, settings(**changes), out=tmp_path / "cut", resume=again, progress=False
    )
    for file in ("student.safetensors", "student_last.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    assert resumed.history == [line for line in lines(tmp_path / "whole") if line.pop("kind") == "epoch"]


def test_selected_and_last_student_are_one_file_when_the_last_epoch_is_the_best(
    tiny_data: Data, tmp_path: Path
) -> None:
    train(method("pgd_at"), tiny_data, settings(epochs=1), out=tmp_path, progress=False)
    assert (tmp_path / "student.safetensors").read_bytes() == (tmp_path / "student_last.safetensors").read_bytes()


def lines(folder: Path) -> list[dict[str, object]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in found:
        line.pop("seconds", None)
    return found


class Drawing(PGDAT):
    """Draws from the global generators at the end of the second epoch, before which it may be killed."""

    epoch, killed, drawn = 0, False, (0.0, 0.0, 0.0)

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.epoch = epoch
        if self.killed and epoch:
            raise Killed

    def end_epoch(self) -> None:
        if self.epoch:
            self.drawn = random.random(), float(np.random.rand()), float(torch.rand(()))


def test_global_generators_are_restored(tiny_data: Data, tmp_path: Path) -> None:
    def run(seed: int, folder: str, *, killed: bool, resume: bool = False) -> tuple[float, float, float]:
        random.seed(seed)
        np.random.seed(seed)
        drawing = Drawing(method("pgd_at").student, attack=ATTACK)
        drawing.killed = killed
        train(drawing, tiny_data, settings(epochs=2), out=tmp_path / folder, resume=resume, progress=False)
        return drawing.drawn

    expected = run(5, "whole", killed=False)
    with pytest.raises(Killed):
        run(5, "cut", killed=True)
    assert run(6, "cut", killed=False, resume=True) == expected


def test_a_new_run_refuses_a_used_folder(tiny_data: Data, tmp_path: Path) -> None:
    train(method("standard"), tiny_data, settings(epochs=1), out=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train(method("standard"), tiny_data, settings(epochs=1), out=tmp_path, progress=False)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_finished_run_without_its_checkpoints_is_not_overwritten(
    epochs: int, tiny_data: Data, tmp_path: Path
) -> None:
    train(method("standard"), tiny_data, settings(epochs=epochs), out=tmp_path, progress=False)
    for path in tmp_path.glob("last*.pt"):
        path.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=r"without its checkpoint.*\n.*another --out"):
        train(method("standard"), tiny_data, settings(epochs=epochs), out=tmp_path, progress=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("unfinished", ["in the first epoch", "with its first student"])
def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    unfinished: str, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.txt").write_text("of a study")
    plan = settings(epochs=2, checkpoint_steps=0, log_steps=1)
    with monkeypatch.context() as patch:
        if unfinished == "in the first epoch":
            cut(patch, 4)
        else:
            patch.setattr(Run, "save", killed)
        with pytest.raises(Killed):
            train(method("standard"), tiny_data, plan, out=tmp_path, progress=False)
    assert (tmp_path / "metrics.jsonl").stat().st_size > 0
    assert (tmp_path / "student.safetensors").exists() == (unfinished == "with its first student")
    train(method("standard"), tiny_data, plan, out=tmp_path, progress=False)
    assert sum(line["kind"] == "epoch" for line in lines(tmp_path)) == 2


def killed(run: Run) -> None:
    raise Killed


def test_resume_refuses_other_settings_teachers_and_data(tiny_data: Data, tmp_path: Path) -> None:
    train(method("rslad"), tiny_data, settings(epochs=1), out=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="batch_size: 16 then, 8 now"):
        train(method("rslad"), tiny_data, settings(epochs=1, batch_size=8), out=tmp_path, resume=True, progress=False)
    other = method("rslad")
    with torch.no_grad():
        next(other.teacher.network.parameters()).add_(1e-6)
    with pytest.raises(CheckpointError, match="teacher has changed"):
        train(other, tiny_data, settings(epochs=1), out=tmp_path, resume=True, progress=False)
    data = Data.from_arrays(
        (torch.zeros(30, 1, 8, 8, dtype=torch.uint8), torch.arange(30) % 3),
        (torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.arange(3)),
    )
    with pytest.raises(CheckpointError, match="data has changed"):
        train(method("rslad"), data, settings(epochs=1), out=tmp_path, resume=True, progress=False)


def test_resume_refuses_another_method(tiny_data: Data, tmp_path: Path) -> None:
    train(method("pgd_at"), tiny_data, settings(epochs=1), out=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="PGDAT then, TRADES now"):
        train(method("trades"), tiny_data, settings(epochs=1), out=tmp_path, resume=True, progress=False)


def test_adaptive_state_is_part_of_the_checkpoint() -> None:
    assert {"balance.weights", "balance.first", "balance.started"} <= set(method("mtard").state_dict())
    assert {"losses.weights", "entropies.temperatures"} <= set(method("bmtard").state_dict())
    assert isinstance(method("mtard"), MTARD)
    assert isinstance(method("bmtard"), BMTARD)
    assert isinstance(method("rslad"), RSLAD)
    assert isinstance(method("pgd_at"), PGDAT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rslad", "bmtard"])
def test_kill_9_and_resume_on_the_command_line(name: str, tmp_path: Path) -> None:
    teachers = {"rslad": ["teacher"], "bmtard": ["teacher_adv", "teacher_nat"]}[name]
    torch.manual_seed(0)
    from robustill.models import save_model

    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), tmp_path / "teacher.safetensors")
    sets = [f"teachers.{t}={tmp_path / 'teacher.safetensors'}" for t in teachers]
    sets += ["training.epochs=4", "training.checkpoint_steps=3", "attack.steps=3"]
    sets += ["training.average.name=ema", "training.awp.gamma=0.01"]
    command = [sys.executable, "-c", "from robustill.cli import main; main()", "train", f"digits_{name}_cnn-small"]
    command += [part for each in sets for part in ("--set", each)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--out", str(tmp_path / "whole")], env=env, check=True, capture_output=True)
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, "--out", str(killed)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(killed / "last.pt", process)
    time.sleep(random.Random(name).uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "student_last.safetensors").exists(), "the run ended before it could be killed"
    subprocess.run([*command, "--out", str(killed), "--resume"], env=env, check=True, capture_output=True)
    for file in ("student.safetensors", "student_last.safetensors"):
        assert (killed / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rslad(alpha: float = 0.5, attack: Any = ATTACK) -> IGDM:
    torch.manual_seed(1)
    student, teacher = (build_model("cnn_small", num_classes=3, shape=(1, 8, 8)) for _ in range(2))
    return IGDM(RSLAD(student, teacher, alpha=alpha, attack=attack), alpha=2)


def begin(data: Data, out: Path, wanted: Method) -> None:
    """Leave behind what a run of two epochs has written in the middle of its second."""
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, 9)
        with pytest.raises(Killed):
            train(wanted, data, settings(epochs=2), out=out, progress=False)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"alpha": 0.9}, r"base.alpha: 0.5 then, 0.9 now"),
        ({"attack": PGD(eps=0.3, step_size=0.05, steps=2)}, r"base.attack: PGD\(eps=0.1, .* now"),
        ({"augment": Augment(crop=2)}, r"data.augment: .*crop=0.* then, .*crop=2.* now"),
    ],
    ids=["alpha", "attack", "augment"],
)
def test_resume_refuses_another_hyperparameter_attack_or_augmentation(
    changed: dict[str, Any], says: str, tiny_data: Data, tmp_path: Path
) -> None:
    begin(tiny_data, tmp_path, rslad())
    tiny_data.augment = changed.pop("augment", tiny_data.augment)
    with pytest.raises(CheckpointError, match=says):
        train(rslad(**changed), tiny_data, settings(epochs=2), out=tmp_path, resume=True, progress=False)


class Foreign:
    """An attack whose `repr` has an address in memory."""

    eps, norm = 0.1, "Linf"

    def __call__(self, objective: Objective, x: torch.Tensor) -> torch.Tensor:
        return ATTACK(objective, x)


def test_an_attack_of_ones_own_and_numbers_of_numpy_go_on(tiny_data: Data, tmp_path: Path) -> None:
    begin(tiny_data, tmp_path, rslad(np.float64(0.5), Foreign()))
    train(rslad(0.5, Foreign()), tiny_data, settings(epochs=2), out=tmp_path, resume=True, progress=False)


def test_the_same_method_goes_on_whatever_its_schedules_have_changed(tiny_data: Data, tmp_path: Path) -> None:
    wanted = rslad()
    begin(tiny_data, tmp_path, wanted)
    train(wanted, tiny_data, settings(epochs=2), out=tmp_path, resume=True, progress=False)


def test_a_checkpoint_of_an_earlier_version_goes_on(tiny_data: Data, tmp_path: Path) -> None:
    begin(tiny_data, tmp_path, rslad())
    state = read_checkpoint(tmp_path / "last.pt")
    del state["values"]
    save_checkpoint(state, tmp_path / "last.pt")
    train(rslad(), tiny_data, settings(epochs=2), out=tmp_path, resume=True, progress=False)


def test_the_seconds_of_an_epoch_are_those_of_all_runs_that_worked_at_it(
    tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock strikes once a step, and a day passes before the run goes on."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    after = Standard.after_step

    def slow(self: Standard) -> None:
        now[0] += 1
        after(self)

    monkeypatch.setattr(Standard, "after_step", slow)
    begin(tiny_data, tmp_path, method("standard"))
    now[0] += 86400
    train(method("standard"), tiny_data, settings(epochs=2), out=tmp_path, resume=True, progress=False)
    kept = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["seconds"] for line in kept if line["kind"] == "epoch"] == [6.0, 6.0]
