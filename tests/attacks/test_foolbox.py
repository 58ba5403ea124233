"""The same robust accuracy as foolbox finds on a small trained network."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from robustill.attacks import PGD, correct, stays_correct
from tests.attacks.templates import noisy_templates, trained

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    foolbox = pytest.importorskip("foolbox")

STEPS = 20


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained(nn.ReLU(), classes=4, noise=0.25)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.08), ("L2", 0.4)])
def test_robust_accuracy_is_within_two_points_of_foolbox(model: nn.Module, norm: Any, eps: float) -> None:
    x, y = noisy_templates(1000, 2, classes=4, noise=0.25)
    clean = correct(model, x, y)
    ours = clean & stays_correct(
        model, x, y, PGD(eps=eps, step_size=eps / 4, steps=STEPS, norm=norm), generator=torch.Generator().manual_seed(0)
    )
    theirs = foolbox.attacks.LinfPGD if norm == "Linf" else foolbox.attacks.L2PGD
    torch.manual_seed(0)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = theirs(rel_stepsize=0.25, steps=STEPS, random_start=True)
    _, _, fallen = attack(wrapped, x, y, epsilons=eps)
    robust = (~fallen).float().mean().item()
    assert 0.2 < robust < clean.float().mean().item() - 0.2
    assert ours.float().mean().item() == pytest.approx(robust, abs=0.02)
