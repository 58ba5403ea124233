"""A short run with EMA and AWP that saves after every step, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from robustill.attacks import PGD
from robustill.data import Data
from robustill.methods import PGDAT, Method
from robustill.models import build_model
from robustill.training import Settings, train

SETTINGS = Settings.model_validate(
    {
        "epochs": 2,
        "batch_size": 48,
        "checkpoint_steps": 1,
        "log_steps": 1,
        "optimizer": {"lr": 0.02},
        "average": {"name": "ema", "decay": 0.9},
        "awp": {"gamma": 0.01},
        "selection": {"steps": 1},
    }
)


def method() -> Method:
    torch.manual_seed(0)
    student = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    return PGDAT(student, attack=PGD(eps=0.1, step_size=0.1, steps=1))


def go(data: Data, folder: Path, *, resume: bool = False) -> None:
    train(method(), data, SETTINGS, out=folder, resume=resume, progress=False)


def left_behind(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
    return {**found, "metrics": lines, "names": sorted(path.name for path in folder.iterdir())}


def flip(path: Path, position: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)
