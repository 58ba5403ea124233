"""Ctrl-C and SIGTERM stop at a step boundary, save, and the run goes on bit-exactly."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.methods import Loss, Standard
from robustill.models import build_model
from robustill.training import Interrupted, Settings, train
from robustill.training.checkpoint import read_checkpoint
from robustill.training.interrupt import stop_requests

SETTINGS = Settings.model_validate(
    {"epochs": 3, "batch_size": 32, "log_steps": 2, "optimizer": {"lr": 0.02}, "average": {"name": "ema", "decay": 0.9}}
)
STEPS = 3  # of an epoch: 96 images


class Signalled(Standard):
    """Sends its own process a signal in the middle of one step."""

    at = -1
    number = signal.SIGINT

    def __init__(self, student: nn.Module) -> None:
        super().__init__(student)
        self.calls = 0

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), self.number)
        return super().forward(x, y)


def method(at: int = -1, number: int = signal.SIGINT) -> Signalled:
    torch.manual_seed(0)
    found = Signalled(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)))
    found.at, found.number = at, signal.Signals(number)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [2, STEPS, STEPS + 1, 3 * STEPS])
def test_a_signal_saves_and_the_run_goes_on(at: int, number: int, tiny_data: Data, tmp_path: Path) -> None:
    train(method(), tiny_data, SETTINGS, out=tmp_path / "whole", progress=False)
    stopped, before = method(at, number), signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        train(stopped, tiny_data, SETTINGS, out=tmp_path / "cut", progress=False)
    assert stopped.calls == at, "the step that was under way ends, and no other begins"
    assert signal.getsignal(number) is before
    epoch, step = divmod(at - 1, STEPS)
    assert str(caught.value) == (
        f"stopped at epoch {epoch + 1}, step {step + 1}; everything is saved in {tmp_path / 'cut'}; "
        "go on with --resume (resume=True)"
    )
    state = read_checkpoint(tmp_path / "cut" / "last.pt")
    assert (state["epoch"], state["step"]) == (epoch, step + 1)
    torch.manual_seed(99)
    resumed = method()
    train(resumed, tiny_data, SETTINGS, out=tmp_path / "cut", resume=True, progress=False)
    assert resumed.calls == 3 * STEPS - at
    for file in ("student.safetensors", "student_last.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert journal(tmp_path / "cut") == journal(tmp_path / "whole")


def journal(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in found:
        line.pop("seconds", None)
    return found


def test_without_a_run_folder_it_says_that_nothing_was_saved(tiny_data: Data) -> None:
    with pytest.raises(Interrupted, match="epoch 1, step 2; without a run folder nothing was saved"):
        train(method(2), tiny_data, SETTINGS, progress=False)


def test_interrupted_is_a_keyboard_interrupt() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)


def test_a_second_signal_acts_at_once() -> None:
    with stop_requests() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_the_main_thread_handlers_stay(tiny_data: Data) -> None:
    found: list[Any] = []

    def body() -> None:
        with stop_requests() as stop:
            found.extend([bool(stop), signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [False, signal.default_int_handler]


def test_the_command_line_exits_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from robustill.cli import main; main()", "train", "digits_standard_cnn-small"]
    command += ["--set", "training.epochs=500", "--set", "training.checkpoint_steps=1", "--out", str(tmp_path / "run")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "last.pt").exists():
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    last = text.splitlines()[-1]
    assert last.startswith("stopped at epoch")
    assert last.endswith(f"everything is saved in {tmp_path / 'run'}; go on with --resume (resume=True)")
    read_checkpoint(tmp_path / "run" / "last.pt")
