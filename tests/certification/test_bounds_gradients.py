"""Bounds can be trained through, and leave the network alone."""

import copy

import pytest
import torch
from torch import nn

from robustill.certification import bounds, confidence_difference_bounds, difference_bounds
from tests.certification.networks import Residual, convolutional, images
from tests.models.stirred import stirred

X = images(2)
METHODS = ("ibp", "crown-ibp", "crown")


def network(kind: str) -> nn.Module:
    torch.manual_seed(4)
    kinds = {
        "relu": lambda: convolutional(nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), side=3),
        "silu": lambda: convolutional(nn.SiLU()),
        "max": lambda: convolutional(nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2), side=3),
        "residual": Residual,
    }
    return stirred(kinds[kind]()).double().eval()


def compare(found, model: nn.Module) -> None:
    """Compare the derivative along a random direction of the weights with a difference quotient."""
    # A short step: bounds have a kink wherever a neuron becomes stable.
    generator = torch.Generator().manual_seed(0)
    weights = [each for each in model.parameters() if each.requires_grad]
    direction = [torch.randn(each.shape, dtype=each.dtype, generator=generator) for each in weights]
    grads = torch.autograd.grad(found(), weights, allow_unused=True)
    derivative = sum(float((g * d).sum()) for g, d in zip(grads, direction, strict=True) if g is not None)
    values = []
    for step in (1e-8, -1e-8):
        with torch.no_grad():
            for each, d in zip(weights, direction, strict=True):
                each.add_(step * d)
            values.append(found().item())
            for each, d in zip(weights, direction, strict=True):
                each.sub_(step * d)
    assert derivative != 0
    assert derivative == pytest.approx((values[0] - values[1]) / 2e-8, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", ["relu", "silu", "max", "residual"])
@pytest.mark.parametrize("method", METHODS)
def test_bounds(kind: str, method: str) -> None:
    model = network(kind)
    factors = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for norm, eps in (("Linf", 0.05), ("L2", 0.3)):

        def found(norm: str = norm, eps: float = eps) -> torch.Tensor:
            lower, upper = bounds(model, X, eps, method, norm)
            return ((upper - 0.3 * lower) * factors).sum()

        compare(found, model)


@pytest.mark.parametrize("method", ["crown-ibp", "crown"])
def test_differences(method: str) -> None:
    model, teacher = network("relu"), network("residual").requires_grad_(False)
    compare(lambda: difference_bounds(model, teacher, X, 0.05, method).width.sum(), model)
    compare(lambda: confidence_difference_bounds(model, teacher, X, 0.05, method).upper.sum(), model)


@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_alone(method: str) -> None:
    model = network("relu")
    model[0].weight.requires_grad_(False)  # type: ignore[index]
    model[6].weight.grad = torch.ones_like(model[6].weight)  # type: ignore[index]
    before, forward = copy.deepcopy(model.state_dict()), model.forward
    asked = [each.requires_grad for each in model.parameters()]
    state, x = torch.get_rng_state(), X.clone()
    with torch.no_grad():
        found = bounds(model, x, 0.05, method)
    assert not found.lower.requires_grad
    assert found.lower.grad_fn is None
    bounds(model, x, 0.05, method).upper.sum()
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(x, X)
    assert [each.requires_grad for each in model.parameters()] == asked
    assert model.forward == forward
    assert not any(each.training for each in model.modules())
    assert (model[6].weight.grad == 1).all()  # type: ignore[index]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_certified_training_lowers_the_bound() -> None:
    model = network("relu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    widths = []
    for _ in range(5):
        width = bounds(model, X, 0.1, "crown-ibp").width.mean()
        optimizer.zero_grad()
        width.backward()
        optimizer.step()
        widths.append(width.item())
    assert widths[-1] < 0.9 * widths[0]
