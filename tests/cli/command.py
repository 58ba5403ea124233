"""What a run of the command line left behind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robustill.models import build_model, save_model

QUICK = ["--set", "training.epochs=2", "--set", "training.optimizer.lr=0.02"]


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Robustill = Callable[..., Outcome]


def refused(outcome: Outcome, *parts: str) -> None:
    """Check that there is one message, that it says all `parts`, and no traceback."""
    assert outcome.code == 1, outcome
    assert outcome.err.count("error:") == 1, outcome.err
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    for part in parts:
        assert part in outcome.err, outcome.err
    assert outcome.out == ""


def teacher(path: Path, classes: int = 10) -> Path:
    """Save an untrained network for digits."""
    torch.manual_seed(0)
    save_model(build_model("cnn_small", num_classes=classes, shape=(1, 8, 8)), path)
    return path
