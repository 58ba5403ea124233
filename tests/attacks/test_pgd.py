"""PGD where the answer is known: closed forms on linear models, and the loop-written iterates elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import FGSM, PGD, gradient
from robustill.losses import cross_entropy
from tests.attacks.tiny import Counted, classifier, images, linear
from tests.reference import attack as reference

WEIGHT = torch.tensor([0.3, -1.2, 0.0, 2.0] * 4, dtype=torch.float64).add(torch.linspace(0, 0.1, 16)).reshape(1, 4, 4)


def value(x: Tensor) -> Tensor:
    return (x.double() * WEIGHT).flatten(1).sum(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_step_of_the_radius_is_the_closed_form_and_fgsm(dtype: torch.dtype) -> None:
    x = images(10).to(dtype)
    one = PGD(eps=0.1, step_size=0.1, steps=1, init="none")(linear(WEIGHT), x)
    torch.testing.assert_close(one, (x + 0.1 * WEIGHT.sign().to(dtype)).clamp(0, 1), rtol=0, atol=2e-7)
    assert torch.equal(one, FGSM(eps=0.1)(linear(WEIGHT), x))


def test_fgsm_in_l2_goes_the_radius_along_the_gradient() -> None:
    x = images(10, low=0.4, high=0.6)
    torch.testing.assert_close(FGSM(eps=0.1, norm="L2")(linear(WEIGHT), x), x + 0.1 * WEIGHT / WEIGHT.norm())


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_every_step_counts_and_the_last_one_moves(norm: Any, steps: int) -> None:
    x = images(3, low=0.4, high=0.6)
    objective = Counted(linear(WEIGHT))
    x_adv = PGD(eps=0.3, step_size=0.02, steps=steps, norm=norm, init="none")(objective, x)
    assert objective.wanted == [True] * steps
    torch.testing.assert_close(objective.points[0], x)
    direction = WEIGHT.sign() if norm == "Linf" else WEIGHT / WEIGHT.norm()
    torch.testing.assert_close(x_adv, x + 0.02 * steps * direction)
    torch.testing.assert_close(objective.points[-1], x + 0.02 * (steps - 1) * direction)


def test_no_steps_is_the_start() -> None:
    x = images(3)
    objective = Counted(linear(WEIGHT))
    assert torch.equal(PGD(eps=0.1, step_size=0.1, steps=0, init="none")(objective, x), x)
    assert objective.points == []


@pytest.mark.parametrize("init", ["uniform", "gaussian", "none"])
def test_the_exact_worst_case_of_a_linear_model_in_linf(init: Any) -> None:
    x = images(10, low=0.3, high=0.7)
    x_adv = PGD(eps=0.2, step_size=0.05, steps=10, init=init)(lambda p: -value(p), x)
    torch.testing.assert_close(value(x_adv), value(x) - 0.2 * WEIGHT.abs().sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("init", ["uniform", "gaussian", "none"])
def test_the_exact_worst_case_of_a_linear_model_in_l2(init: Any) -> None:
    x = images(10, low=0.4, high=0.6)
    x_adv = PGD(eps=0.3, step_size=0.1, steps=60, norm="L2", init=init)(lambda p: -value(p), x)
    torch.testing.assert_close(value(x_adv), value(x) - 0.3 * WEIGHT.norm(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_exact_worst_case_through_the_cross_entropy_of_two_classes(norm: Any) -> None:
    layer = nn.Linear(16, 2).double()
    model = nn.Sequential(nn.Flatten(), layer)
    x, y = images(10, low=0.4, high=0.6), torch.tensor([0, 1] * 5)
    x_adv = PGD(eps=0.2, step_size=0.05, steps=60, norm=norm)(lambda p: cross_entropy(model(p), y), x)
    weight = (layer.weight[0] - layer.weight[1]).detach()
    length = weight.abs().sum() if norm == "Linf" else weight.norm()
    sign = 1.0 - 2 * y.double()
    lead = [sign * (logits[:, 0] - logits[:, 1]) for logits in (model(x).detach(), model(x_adv).detach())]
    torch.testing.assert_close(lead[1], lead[0] - 0.2 * length, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("seed", range(3))
def test_iterates_are_those_of_the_loops(norm: Any, seed: int) -> None:
    model = classifier(seed).eval()
    x, y = images(4, seed), torch.tensor([0, 1, 2, 0])
    start = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)

    def objective(p: Tensor) -> Tensor:
        return cross_entropy(model(p), y)

    def slopes(points: list[list[float]]) -> list[list[float]]:
        return gradient(objective, torch.tensor(points, dtype=x.dtype).reshape(x.shape)).flatten(1).tolist()

    how: dict[str, Any] = {"eps": 0.12, "step_size": 0.05, "norm": norm}
    flat = x.flatten(1).tolist()
    iterates = reference.pgd(slopes, flat, start.flatten(1).tolist(), steps=6, **how)
    for steps in range(1, 7):
        attack = PGD(steps=steps, init="gaussian", sigma=0.05, **how)
        x_adv = attack(objective, x, generator=torch.Generator().manual_seed(seed))
        expected = torch.tensor(iterates[steps], dtype=x.dtype)
        torch.testing.assert_close(x_adv.flatten(1), expected, rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_each_example_alone() -> None:
    model = classifier().eval()
    x, y = images(5), torch.tensor([0, 1, 2, 0, 1])
    whole = gradient(lambda p: cross_entropy(model(p), y), x)
    for i in range(5):
        alone = gradient(lambda p, i=i: cross_entropy(model(p), y[i : i + 1]), x[i : i + 1])  # type: ignore[misc]
        torch.testing.assert_close(whole[i : i + 1], alone)


def test_steps_smaller_than_the_spacing_of_bfloat16_still_add_up() -> None:
    x = torch.full((2, 16), 0.9).bfloat16()
    x_adv = PGD(eps=8 / 255, step_size=1 / 2550, steps=90, init="none")(lambda p: -p.float().flatten(1).sum(1), x)
    # 80 steps reach the edge; bfloat16 has a spacing of 1/256 here and is rounded inwards.
    assert (x - x_adv).float().min() > 8 / 255 - 1 / 256


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_an_overflowing_objective_does_not_throw_the_point_out(norm: Any) -> None:
    x = images(3).float()
    for bad in (torch.nan, torch.inf, -torch.inf):
        x_adv = PGD(eps=0.1, step_size=0.05, steps=3, norm=norm)(lambda p, bad=bad: (p * bad).flatten(1).sum(1), x)  # type: ignore[misc]
        assert torch.isfinite(x_adv).all()
        assert (x_adv - x).flatten(1).norm(dim=1).max() < 0.5


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_length_of_the_gradient_does_not_matter_in_l2(scale: float) -> None:
    x = images(3, low=0.4, high=0.6).float()
    attack = PGD(eps=0.1, step_size=0.02, steps=3, norm="L2", init="none")
    usual = attack(lambda p: (p * WEIGHT.float()).flatten(1).sum(1), x)
    torch.testing.assert_close(attack(lambda p: (p * WEIGHT.float() * scale).flatten(1).sum(1), x), usual)
