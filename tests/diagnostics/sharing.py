"""What one process or two do in the test of sharing: a bracket, a certificate, and the unlearnable set."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustill.data import load_data
from robustill.data.splits import to_unit
from robustill.diagnostics.bracket import calibrate, certify
from robustill.diagnostics.bracket.model_stages import ModelStages
from robustill.diagnostics.bracket.pair_stages import PairStages
from robustill.diagnostics.learnability import save_learnability, unlearnable
from robustill.evaluation import is_first, runner
from robustill.models import build_model

QUICK: dict[str, Any] = {"images": 45, "steps": 3, "restarts": 2, "batch_size": 10, "progress": False}


def network(seed: int, steps: int) -> nn.Module:
    torch.manual_seed(seed)
    net = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    train = load_data("digits").train
    x, y = to_unit(train.images(torch.arange(300))), train.labels[:300]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.eval()


def counted(patch: pytest.MonkeyPatch, owner: Any, name: str, counts: list[int]) -> None:
    real = getattr(owner, name)

    def attack(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        counts.append(len(x))
        return real(self, x, *args, **kwargs)

    patch.setattr(owner, name, attack)


def work(out: Path) -> dict[str, list[int]]:
    """Return how many images this process attacked in each call."""
    counts: dict[str, list[int]] = {"calibrate": [], "certify": [], "unlearnable": []}
    data = load_data("digits")
    student, teacher = network(0, 20), network(1, 40)
    with pytest.MonkeyPatch.context() as patch:
        counted(patch, PairStages, "attack", counts["calibrate"])
        counted(patch, ModelStages, "attack", counts["certify"])
        counted(patch, runner, "adversarial_points", counts["unlearnable"])
        calibrate(student, teacher, data, [0.02, 0.05], **QUICK, targets=1, out=out / "calibrate")
        certify(student, data, [0.02, 0.05], **QUICK, out=out / "certify")
        models = {"a/0": student, "a/1": teacher}
        folder = out / "verdicts"
        found = unlearnable(models, data, eps=0.1, images=40, batch_size=8, out=folder, progress=False)
    if is_first():
        save_learnability(found, out / "unlearnable.safetensors")
    return counts


if __name__ == "__main__":
    torch.set_num_threads(1)
    done = work(Path(sys.argv[1]))
    (Path(sys.argv[1]) / f"counts{os.environ['RANK']}.json").write_text(json.dumps(done))
