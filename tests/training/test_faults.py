"""Damaged checkpoints, dying loader processes and jumping clocks: one message, nothing lost, bit-exact to go on."""

import ast
import errno
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import data as torch_data

import robustill
from robustill.data import Data, StreamSplit, stream
from robustill.data.stream import reader_failures
from robustill.errors import CheckpointError, DataError
from robustill.training import train
from robustill.training.checkpoint import previous_of, read_checkpoint, save_checkpoint
from tests.training.short_run import SETTINGS, flip, go, left_behind, method


def test_any_flipped_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path, weights = tmp_path / "last.pt", torch.arange(5000.0)
    save_checkpoint({"method": weights}, path)
    size, generator = path.stat().st_size, random.Random(0)
    inside = path.read_bytes().find(weights.numpy().tobytes()[:4000])
    assert inside > 0
    for position in [inside + 1000, inside + 15_000, *(generator.randrange(size) for _ in range(60))]:
        flip(path, position)
        with pytest.raises(CheckpointError, match=r"damaged|not a robustill checkpoint"):
            read_checkpoint(path)
        flip(path, position)
    assert torch.equal(read_checkpoint(path)["method"], weights)


def test_a_checkpoint_of_before_checksums_is_read(tmp_path: Path) -> None:
    torch.save({"format": 2, "epoch": 3}, tmp_path / "last.pt")
    assert read_checkpoint(tmp_path / "last.pt")["epoch"] == 3
    torch.save({"format": 3, "epoch": 3}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="checksum is missing"):
        read_checkpoint(tmp_path / "last.pt")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage: str, whole: Path, tiny_data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    (cut / "student_last.safetensors").unlink()
    newest, kept = cut / "last.pt", (cut / "last.previous.pt").read_bytes()
    if damage == "missing":
        newest.unlink()
    elif damage == "truncated":
        newest.write_bytes(newest.read_bytes()[:-1000])
    else:
        flip(newest, newest.stat().st_size // 2)
    state = read_checkpoint(previous_of(newest))
    go(tiny_data, cut, resume=True)
    said = capsys.readouterr().err
    where = f"going on from last.previous.pt, of epoch {state['epoch'] + 1}, step {state['step']}"
    assert said.count("warning:") == 1
    assert where in said
    assert ("last.damaged.pt" in said) == (damage != "missing") == (cut / "last.damaged.pt").exists()
    (cut / "last.damaged.pt").unlink(missing_ok=True)
    assert (cut / "last.pt").read_bytes() != kept
    found, expected = left_behind(cut), left_behind(whole)
    assert set(expected.pop("names")) - {"last.previous.pt"} <= set(found.pop("names"))
    assert found == expected


def test_two_damaged_checkpoints_are_an_error(whole: Path, tiny_data: Data) -> None:
    for name in ("last.pt", "last.previous.pt"):
        flip(whole / name, 3000)
    with pytest.raises(CheckpointError, match=r"last\.pt is damaged"):
        go(tiny_data, whole, resume=True)
    assert (whole / "last.pt").exists()


def test_without_hard_links_the_one_before_is_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    for epoch in range(3):
        save_checkpoint({"epoch": epoch}, tmp_path / "last.pt")
    found = {path.name: read_checkpoint(path)["epoch"] for path in tmp_path.iterdir()}
    assert found == {"last.pt": 2, "last.previous.pt": 1}


def test_a_damaged_best_student_is_told_before_the_run_goes_on(whole: Path, tiny_data: Data) -> None:
    flip(whole / "student.safetensors", 5000)
    with pytest.raises(CheckpointError, match=r"the best student so far is lost: .*checksum does not fit"):
        go(tiny_data, whole, resume=True)


@pytest.mark.parametrize(
    "values", [{"epoch": -1}, {"epoch": "x"}, {"epoch": 99}, {"step": True}, {"metrics_bytes": -1}]
)
def test_a_checkpoint_that_stands_nowhere(values: dict[str, Any], whole: Path, tiny_data: Data) -> None:
    save_checkpoint({**read_checkpoint(whole / "last.pt"), **values}, whole / "last.pt")
    with pytest.raises(CheckpointError, match="does not fit this run"):
        go(tiny_data, whole, resume=True)


class Slow:
    """Images of a data set, the later ones read only when a file appears."""

    def __init__(self, split: Any) -> None:
        self.split, self.labels, self.shape = split, split.labels, split.shape

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        if torch_data.get_worker_info() is not None and index > 60:
            # As the kernel does it where memory runs out.
            os.kill(os.getpid(), signal.SIGKILL)
        return self.split.images(torch.tensor([index]))[0], int(self.labels[index])


@pytest.mark.filterwarnings("ignore")
def test_a_killed_loader_process_is_one_error(tiny_data: Data, tmp_path: Path) -> None:
    stream = StreamSplit(Slow(tiny_data.train))
    data = Data("slow", tiny_data.class_names, stream, tiny_data.validation, tiny_data.test)
    settings = SETTINGS.model_copy(update={"workers": 1, "batch_size": 8})
    with pytest.raises(DataError, match="a process that reads images died") as caught:
        train(method(), data, settings, out=tmp_path, progress=False)
    assert "--resume" in str(caught.value.hint)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError("reset by peer")])
def test_one_that_dies_while_it_hands_images_over_is_the_same_error(
    error: Exception, tiny_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        yield torch.zeros(1)
        raise error

    monkeypatch.setattr(stream, "DataLoader", broken)
    images = StreamSplit(Slow(tiny_data.train)).fetch([torch.tensor([0])], torch.device("cpu"), workers=1)
    assert len(next(images)) == 1
    with pytest.raises(DataError, match=f"images died: it closed its connection .{type(error).__name__}") as caught:
        next(images)
    assert "--resume" in str(caught.value.hint)


def test_other_errors_of_torch_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), reader_failures():
        raise RuntimeError("shapes do not fit")


def test_a_clock_that_jumps_changes_nothing(
    whole: Path, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: jumps.uniform(-1e9, 5e9))
    monkeypatch.setattr(time, "time_ns", lambda: jumps.randrange(-(10**18), 5 * 10**18))
    go(tiny_data, tmp_path / "other")
    assert left_behind(tmp_path / "other") == left_behind(whole)


def test_no_module_reads_the_time_of_day() -> None:
    # What TensorBoard shows beside a curve is the time of day; nothing else comes of it.
    may = {"track_tensorboard.py"}
    found = []
    for file in Path(robustill.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Import | ast.ImportFrom) else ""
            is_import = isinstance(node, ast.Import | ast.ImportFrom)
            read = text in ("time.time", "time.time_ns", "time.localtime") or (is_import and "datetime" in text)
            if read and file.name not in may:
                found.append(f"{file.name}:{node.lineno}")
    assert found == []
