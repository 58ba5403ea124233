"""A small network for digits in a file, and `robustill` in processes of its own, for tests of whole evaluations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from robustill.data import load_data
from robustill.methods import Standard
from robustill.models import build_model, save_model
from robustill.training import Settings, train

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def digits_model(path: Path) -> Path:
    """Train a network on digits for three epochs, and save it."""
    torch.manual_seed(0)
    net = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    settings = Settings.model_validate({"epochs": 3, "batch_size": 64, "optimizer": {"lr": 0.05}})
    train(Standard(net), load_data("digits"), settings, progress=False)
    save_model(net, path)
    return path


def start(*command: str) -> subprocess.Popen[str]:
    """Start a Python process with one thread per process, its output kept."""
    pipe = subprocess.PIPE
    environment = {**os.environ, **ONE_THREAD}
    return subprocess.Popen([sys.executable, *command], stdout=pipe, stderr=pipe, text=True, env=environment)


def levels(folder: Path) -> dict[str, Tensor]:
    """Return what `verdicts.safetensors` knows of each stage."""
    with safe_open(folder / "verdicts.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith("level/")}  # noqa: SIM118


def same_levels(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same verdicts, in the same stages."""
    first, second = levels(one), levels(other)
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)
