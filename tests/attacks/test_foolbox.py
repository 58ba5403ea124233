"""The same robust accuracy as foolbox finds on a small trained network."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD, correct, stays_correct
from robustill.losses import cross_entropy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    foolbox = pytest.importorskip("foolbox")

STEPS = 20


def noisy_templates(size: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    templates = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    y = torch.randint(4, (size,), generator=generator)
    noise = 0.25 * torch.randn(size, 1, 6, 6, generator=generator)
    return (0.25 + 0.5 * templates[y] + noise).clamp(0, 1), y


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 32), nn.ReLU(), nn.Linear(32, 4))
    x, y = noisy_templates(800, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(network(x), y).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.08), ("L2", 0.4)])
def test_robust_accuracy_is_within_two_points_of_foolbox(model: nn.Module, norm: Any, eps: float) -> None:
    x, y = noisy_templates(1000, 2)
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
