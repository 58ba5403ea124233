"""Checkpoints are written whole, and read without executing anything; what is wrong with one is one error."""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustill.data import Data
from robustill.errors import CheckpointError
from robustill.methods import Standard
from robustill.models import build_model
from robustill.training import Settings, train
from robustill.training.checkpoint import (
    previous_of,
    random_state,
    read_checkpoint,
    restore_random_state,
    save_checkpoint,
)
from robustill.writing import WriteError

SHORT = Settings.model_validate({"epochs": 1, "batch_size": 48, "optimizer": {"lr": 0.02}})


def student(architecture: str = "cnn_small", **arguments: Any) -> Standard:
    torch.manual_seed(0)
    return Standard(build_model(architecture, num_classes=3, shape=(1, 8, 8), **arguments))


@pytest.fixture
def run(tiny_data: Data, tmp_path: Path) -> Path:
    train(student(), tiny_data, SHORT, out=tmp_path, progress=False)
    return tmp_path


def resume(run: Path, data: Data, method: Standard | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        train(method or student(), data, SHORT, out=run, resume=True, progress=False)
    message = str(caught.value)
    assert str(run / "last.pt") in message
    return message


@pytest.mark.parametrize("left", [0, 1, 50, 0.3, 0.9, -1])
def test_a_truncated_checkpoint(left: float, run: Path, tiny_data: Data) -> None:
    whole = (run / "last.pt").read_bytes()
    (run / "last.pt").write_bytes(whole[: int(left * len(whole)) if isinstance(left, float) else left])
    assert "damaged" in resume(run, tiny_data)


@pytest.mark.parametrize("kind", ["text", "noise", "zip", "zeros"])
def test_garbage(kind: str, run: Path, tiny_data: Data) -> None:
    noise = random.Random(0).randbytes(4000)
    content = {"text": b"hello\n", "noise": noise, "zip": b"PK\x03\x04" + noise, "zeros": bytes(4000)}[kind]
    (run / "last.pt").write_bytes(content)
    assert "damaged" in resume(run, tiny_data)


def test_damage_anywhere_is_a_checkpoint_error_or_no_error(run: Path) -> None:
    generator = random.Random(1)
    whole, path, damaged = (run / "last.pt").read_bytes(), run / "other.pt", 0
    for _ in range(400):
        content = bytearray(whole)
        content[generator.randrange(3000)] = generator.randrange(256)
        path.write_bytes(content)
        try:
            read_checkpoint(path)
        except CheckpointError:
            damaged += 1
    assert damaged > 50


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["torch", "torch, old", "pickle"])
def test_a_checkpoint_that_would_run_a_program_is_refused(
    form: str, run: Path, tiny_data: Data, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    state = {"format": 2, "method": _Payload(marker)}
    if form == "pickle":
        (run / "last.pt").write_bytes(pickle.dumps(state, protocol=2))
    else:
        torch.save(state, run / "last.pt", _use_new_zipfile_serialization=form == "torch")
    message = resume(run, tiny_data)
    assert "refusing to load" in message
    assert not marker.exists()
    torch.load(run / "last.pt", weights_only=False) if form != "pickle" else pickle.loads(
        (run / "last.pt").read_bytes()
    )
    assert marker.exists(), "the payload is no payload: the test proves nothing"


def test_a_file_of_other_code(run: Path, tiny_data: Data) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, run / "last.pt")
    assert "not a robustill checkpoint of format 3" in resume(run, tiny_data)
    torch.save([1, 2], run / "last.pt")
    assert "not a robustill checkpoint of format 3" in resume(run, tiny_data)


@pytest.mark.parametrize("state", [{}, {"settings": 3}, {"settings": {}, "digests": {}}])
def test_a_checkpoint_that_lacks_parts(state: dict[str, Any], run: Path, tiny_data: Data) -> None:
    torch.save({"format": 2, **state}, run / "last.pt")
    message = resume(run, tiny_data)
    assert "does not fit this run" in message or "belongs to another run" in message


def test_a_checkpoint_of_another_network(run: Path, tiny_data: Data) -> None:
    message = resume(run, tiny_data, student("cnn_wide"))
    assert "does not fit this run" in message
    assert "resume with the networks of the run" in message


def test_no_checkpoint(tiny_data: Data, tmp_path: Path) -> None:
    assert "start the run without --resume" in resume(tmp_path, tiny_data)
    with pytest.raises(CheckpointError, match="give the run folder"):
        train(student(), tiny_data, SHORT, resume=True, progress=False)


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"epoch": 1}, path)
    whole = torch.save

    def full_disk(state: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(WriteError, match="No space left"):
        save_checkpoint({"epoch": 2}, path)
    assert read_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]
    monkeypatch.setattr(torch, "save", whole)
    save_checkpoint({"epoch": 2}, path)
    assert read_checkpoint(path)["epoch"] == 2


def test_the_old_checkpoint_is_there_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "last.pt", []
    save_checkpoint({"epoch": 1}, path)
    replace = os.replace

    def looking(source: Path, target: Path) -> None:
        assert read_checkpoint(path)["epoch"] == 1
        seen.append((Path(target).name, read_checkpoint(Path(source))["epoch"]))
        replace(source, target)

    monkeypatch.setattr(os, "replace", looking)
    save_checkpoint({"epoch": 2}, path)
    assert seen == [("last.previous.pt", 1), ("last.pt", 2)]
    assert [read_checkpoint(each)["epoch"] for each in (path, previous_of(path))] == [2, 1]


def test_every_global_generator_is_kept(tmp_path: Path) -> None:
    def draws() -> list[Any]:
        return [random.random(), random.gauss(), np.random.rand(3).tolist(), np.random.randn(), torch.rand(3).tolist()]

    draws()  # leaves the second normal number of numpy and Python waiting
    save_checkpoint({"random": random_state()}, tmp_path / "last.pt")
    expected = draws()
    draws()
    restore_random_state(read_checkpoint(tmp_path / "last.pt")["random"])
    assert draws() == expected
