"""Robust overfitting read off a run's history."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from robustill.diagnostics.overfitting import record_overfitting, robust_overfitting
from robustill.errors import CheckpointError, InputError


def line(epoch: int, robust: float, learnable: float | None = None, unlearnable: float = 0.0) -> dict[str, Any]:
    found: dict[str, Any] = {"epoch": epoch, "loss": 1.0, "validation": {"clean": 0.9, "robust": robust, "wra": 0.8}}
    if learnable is not None:
        groups = {"learnable": (30, learnable), "unlearnable": (20, unlearnable)}
        train = {name: {"images": n, "clean": 0.95, "robust": r, "wra": 0.9} for name, (n, r) in groups.items()}
        found["overfitting"] = {"validation_images": 400, "train": train}
    return found


HISTORY = [
    line(0, 0.30, 0.5, 0.00),
    {"epoch": 1, "loss": 2.0},
    line(2, 0.50, 0.8, 0.05),
    line(4, 0.50, 0.9, 0.30),
    line(5, 0.42, 0.95, 0.85),
]


def test_gap_noise_and_what_is_memorised() -> None:
    found = robust_overfitting(HISTORY)
    assert found["epochs"] == [0, 2, 4, 5]
    assert found["best"] == {"epoch": 2, "robust": 0.50}
    assert found["last"] == {"epoch": 5, "robust": 0.42}
    assert found["gap"] == pytest.approx(0.08)
    assert found["noise"] == pytest.approx(1.96 * math.sqrt((0.25 + 0.42 * 0.58) / 400))
    assert found["rise"] == {"learnable": pytest.approx(0.15), "unlearnable": pytest.approx(0.80)}
    assert found["train"]["unlearnable"] == {"images": 20, "clean": [0.95] * 4, "robust": [0.0, 0.05, 0.3, 0.85]}
    assert found["validation"] == {"images": 400, "clean": [0.9] * 4, "robust": [0.3, 0.5, 0.5, 0.42]}


def test_a_run_that_watched_no_training_images_has_a_gap_too() -> None:
    found = robust_overfitting([line(0, 0.4), line(1, 0.3)])
    assert found["gap"] == pytest.approx(0.1)
    assert (found["noise"], found["train"], found["rise"], found["validation"]["images"]) == (None, {}, {}, None)


def test_no_robust_accuracy_and_mixed_runs() -> None:
    with pytest.raises(InputError, match="no epoch was judged on robust accuracy"):
        robust_overfitting([{"epoch": 0, "validation": {"clean": 0.9}}])
    with pytest.raises(InputError, match="in some epochs only"):
        robust_overfitting([line(0, 0.4), line(1, 0.3, 0.5)])


def test_it_is_written_beside_what_is_there(tmp_path: Path) -> None:
    lines = [{"kind": "step", "loss": 1.0}, *({"kind": "epoch", "seconds": 1.0, **each} for each in HISTORY)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert record_overfitting(tmp_path) == robust_overfitting(HISTORY)
    (tmp_path / "diagnostics.json").write_text('{"other": 1, "overfitting": 2}')
    record_overfitting(tmp_path)
    written = json.loads((tmp_path / "diagnostics.json").read_text())
    assert written == {"other": 1, "overfitting": robust_overfitting(HISTORY)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diagnostics.json", "metrics.jsonl"]


@pytest.mark.parametrize("text", ["no json", "[1, 2]", '{"loss": 1}', "3"])
def test_files_of_something_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be read"):
        record_overfitting(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be read"):
        record_overfitting(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"kind": "epoch", **HISTORY[0]}))
    (tmp_path / "diagnostics.json").write_text(text if text != '{"loss": 1}' else '"x"')
    with pytest.raises(CheckpointError, match=r"diagnostics\.json"):
        record_overfitting(tmp_path)
