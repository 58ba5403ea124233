"""The engine against dense matrices, one example and one neuron at a time."""

import pytest
import torch
from torch import nn

from robustill.certification import bounds
from robustill.models import build_model
from tests.certification.networks import Residual, images
from tests.models.stirred import stirred
from tests.reference.dense_bounds import Step, dense_bounds

METHODS = ("ibp", "crown-ibp", "crown")
ROWS = torch.tensor([[1.0, 0, 0], [0, 1, -1], [-2, 0.5, 1]], dtype=torch.float64)


def chain(*modules: nn.Module) -> list[Step]:
    return [(None, ()), *((module, (index,)) for index, module in enumerate(modules))]


def plain() -> tuple[nn.Module, list[Step]]:
    modules = [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU()]
    modules += [nn.Flatten(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3)]
    network = stirred(nn.Sequential(*modules)).double().eval()
    return network, chain(*network.children())


def without_activation() -> tuple[nn.Module, list[Step]]:
    """Two convolutions in a row: the windows of the first reach into the padding of the second."""
    modules = [nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2)]
    modules += [nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)]
    network = stirred(nn.Sequential(*modules)).double().eval()
    return network, chain(*network.children())


def residual() -> tuple[nn.Module, list[Step]]:
    net = stirred(Residual()).double().eval()
    relu, flat = nn.ReLU(), nn.Flatten()
    steps: list[Step] = [(None, ()), (net.stem, (0,)), (net.norm, (1,)), (relu, (2,)), (net.one, (3,)), (relu, (4,))]  # type: ignore[list-item]
    steps += [(None, (3, 5)), (net.two, (6,)), (net.short, (6,)), (None, (7, 8)), (relu, (9,)), (net.last, (10,))]  # type: ignore[list-item]
    steps += [(relu, (11,)), (flat, (12,)), (net.head, (13,))]  # type: ignore[list-item]
    return net, steps


def mnist_sized() -> tuple[nn.Module, list[Step]]:
    network = build_model("cnn_small", num_classes=3, shape=(1, 28, 28), mean=[0.3], std=[0.4]).double().eval()
    return network, chain(network.normalize, *network.layers)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("build", [plain, residual, without_activation])
def test_tiny_networks(method: str, build) -> None:
    torch.manual_seed(0)
    network, steps = build()
    x, eps = images(4), 0.04
    with torch.no_grad():
        found = bounds(network, x, eps, method, rows=ROWS)
    lower, upper = dense_bounds(steps, x, eps, method, ROWS)
    torch.testing.assert_close(found.lower, lower, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.upper, upper, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_an_mnist_sized_network(method: str) -> None:
    torch.manual_seed(0)
    network, steps = mnist_sized()
    x, eps = images(1, (1, 28, 28)), 0.003
    with torch.no_grad():
        found = bounds(network, x, eps, method, rows=ROWS)
    lower, upper = dense_bounds(steps, x, eps, method, ROWS)
    torch.testing.assert_close(found.lower, lower, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.upper, upper, rtol=1e-6, atol=1e-9)
