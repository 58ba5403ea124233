"""Right or wrong, before and after an attack."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import CW, FGSM, PGD, correct, stays_correct
from tests.attacks.tiny import classifier, images


class Fixed(nn.Module):
    """Returns the same logits whatever the images."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits + 0 * x.flatten(1).sum(1, keepdim=True)


def test_correct_compares_the_largest_logit_with_the_label() -> None:
    model = Fixed(torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [-3.0, -2.0, -1.0]]))
    found = correct(model, torch.rand(3, 4), torch.tensor([0, 1, 2]))
    assert found.dtype == torch.bool
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_logits_that_are_not_finite_count_as_wrong(bad: float, position: int) -> None:
    logits = torch.zeros(3, 3) + torch.eye(3)
    logits[1, position] = bad
    model, x = Fixed(logits), torch.rand(3, 4)
    for y in (torch.tensor([0, 1, 2]), torch.tensor([0, position, 2])):
        assert correct(model, x, y).tolist() == [True, False, True]
        attack = PGD(eps=0.1, step_size=0.1, steps=1)
        assert stays_correct(model, x, y, attack).tolist() == [True, False, True]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("kind", ["pgd", "fgsm", "cw"])
def test_an_example_stays_right_exactly_while_its_distance_exceeds_the_radius(norm: Any, kind: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False)).double()
    slope = torch.linspace(-1.0, 1.1, 16).double()
    model[1].weight.data = torch.stack([slope, -slope])
    x = images(60, low=0.4, high=0.6)
    y = (x.flatten(1) @ slope < 0).long()
    length = slope.abs().sum() if norm == "Linf" else slope.norm()
    distance = (x.flatten(1) @ slope).abs() / length
    eps = distance.median().item() + 1e-4
    attack: Any = {
        "pgd": PGD(eps=eps, step_size=eps / 2, steps=60, norm=norm),
        "fgsm": FGSM(eps=eps, norm=norm),
        "cw": CW(eps=eps, step_size=eps / 2, norm=norm),
    }[kind]
    found = stays_correct(model, x, y, attack)
    clear = (distance - eps).abs() > 1e-6
    assert clear.sum() >= 58
    assert torch.equal(found[clear], distance[clear] > eps)
    assert 20 < int(found.sum()) < 40


def test_the_generator_is_passed_on() -> None:
    model, x = classifier(), images(64)
    y = model.eval()(x).argmax(1)
    attack = PGD(eps=0.3, step_size=0.01, steps=1)
    seeded = [stays_correct(model, x, y, attack, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(seeded[0], seeded[1])
    assert not torch.equal(seeded[0], seeded[2])
    before = torch.get_rng_state()
    stays_correct(model, x, y, attack, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)
