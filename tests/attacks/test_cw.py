"""The margin attack: the optimum of a linear model, and the confidence beyond which it rests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import CW
from robustill.losses import margin
from tests.attacks.tiny import images


def linear_model(*rows: Tensor) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, len(rows), bias=False)).double()
    model[1].weight.data = torch.stack(rows).double()
    return model


SLOPE = torch.linspace(-1.0, 1.1, 16)
X = images(5, low=0.4, high=0.6)
Y = torch.zeros(5, dtype=torch.int64)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_margin_optimum_of_a_linear_model(norm: Any) -> None:
    model = linear_model(0 * SLOPE, SLOPE)
    x_adv = CW(eps=0.2, step_size=0.05, norm=norm)(model, X, Y)
    length = SLOPE.abs().sum() if norm == "Linf" else SLOPE.norm()
    expected = margin(model(X), Y) + 0.2 * length.double()
    torch.testing.assert_close(margin(model(x_adv), Y), expected, rtol=1e-6, atol=1e-6)


def test_it_rests_once_the_margin_exceeds_the_confidence() -> None:
    model = linear_model(0 * SLOPE, SLOPE)
    start = margin(model(X), Y)
    gain = 0.01 * SLOPE.abs().sum().double()
    # The first example passes after one step, and stops there whatever the number of steps.
    confidence = (start + 0.5 * gain).max().item()
    x_adv = CW(eps=0.2, step_size=0.01, steps=20, confidence=confidence)(model, X, Y)
    reached = margin(model(x_adv), Y)
    assert bool((reached > confidence).all())
    assert bool((reached <= confidence + gain).all())
    steps = ((reached - start) / gain).round()
    assert len(set(steps.tolist())) > 1
    torch.testing.assert_close(x_adv, X + 0.01 * steps[:, None, None, None] * SLOPE.sign().reshape(1, 4, 4).double())


def test_it_follows_the_strongest_other_class() -> None:
    # Class 1 gains more from a move than class 2 but starts too far behind.
    model = linear_model(0 * SLOPE, SLOPE.abs(), SLOPE)
    model[1].bias = nn.Parameter(torch.tensor([0.0, -50.0, 0.0]).double())  # type: ignore[index]
    x_adv = CW(eps=0.1, step_size=0.1, steps=1)(model, X, Y)
    torch.testing.assert_close(x_adv, X + 0.1 * SLOPE.sign().reshape(1, 4, 4).double())


def test_it_draws_nothing() -> None:
    model = linear_model(0 * SLOPE, SLOPE)
    before = torch.get_rng_state()
    assert torch.equal(CW(eps=0.1, step_size=0.03)(model, X, Y), CW(eps=0.1, step_size=0.03)(model, X, Y))
    assert torch.equal(torch.get_rng_state(), before)
