"""metrics.jsonl: whole lines, cut back to the checkpoint on resume."""

import json
from pathlib import Path

import pytest

from robustill.data import Data
from robustill.methods import Standard
from robustill.models import build_model
from robustill.training import Settings, train
from robustill.training.journal import Journal


def test_lines_are_json_and_on_disk_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "m.jsonl")
    journal.write("step", loss=0.5, step=1)
    assert (tmp_path / "m.jsonl").read_text() == '{"kind": "step", "loss": 0.5, "step": 1}\n'
    journal.write("epoch", epoch=0)
    assert journal.size == (tmp_path / "m.jsonl").stat().st_size


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "m.jsonl")
    journal.write("step", step=1)
    good = journal.size
    journal.write("step", step=2)
    with (tmp_path / "m.jsonl").open("ab") as file:
        file.write(b'{"kind": "st')
    again = Journal(tmp_path / "m.jsonl", good)
    again.write("step", step=3)
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 3]
    assert again.size == (tmp_path / "m.jsonl").stat().st_size


@pytest.mark.parametrize("left", [None, b"", b'{"kind": "a"}\n'])
def test_a_file_shorter_than_the_checkpoint_knew_is_not_filled_up(left: bytes | None, tmp_path: Path) -> None:
    if left is not None:
        (tmp_path / "m.jsonl").write_bytes(left)
    journal = Journal(tmp_path / "m.jsonl", 1000)
    journal.write("step", step=1)
    assert (tmp_path / "m.jsonl").read_bytes() == (left or b"") + b'{"kind": "step", "step": 1}\n'
    assert journal.size == (tmp_path / "m.jsonl").stat().st_size


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(None)
    journal.write("step", step=1)
    assert journal.size == 0
    assert not list(tmp_path.iterdir())


def test_a_run_logs_steps_and_epochs(tiny_data: Data, tmp_path: Path) -> None:
    method = Standard(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)))
    settings = {"epochs": 2, "batch_size": 32, "log_steps": 2, "optimizer": {"lr": 0.02}}
    result = train(method, tiny_data, Settings.model_validate(settings), out=tmp_path, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["epoch"], line.get("step")) for line in lines] == [
        ("step", 0, 2),
        ("epoch", 0, None),
        ("step", 1, 2),
        ("epoch", 1, None),
    ]
    assert lines[0].keys() == {"kind", "epoch", "step", "lr", "nat", "loss"}
    assert lines[0]["lr"] == 0.02
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["validation"] for line in epochs] == [line["validation"] for line in result.history]
    assert all(line["seconds"] >= 0 for line in epochs)
