"""A network's digest takes in what decides its function, and nothing that moves."""

import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustill.models import Classifier, Frozen, build_model, load_model, model_digest

Shade = Enum("Shade", ["DARK", "LIGHT"])


@dataclass
class Sizes:
    width: int


class Held(nn.Module):
    """The same tensors whatever it holds."""

    def __init__(self, value: Any, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = nn.Linear(2, 2) if network is None else network
        self._value = value
        with torch.no_grad():
            for tensor in self.state_dict().values():
                tensor.fill_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


class Own(Classifier):
    """A user's architecture."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale


def filled(value: float) -> nn.Linear:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(value)
    return layer


def test_digests_of_the_packages_own_networks_stay_what_they_were() -> None:
    """Files of earlier runs are found by them."""
    network = build_model("preact_resnet18", num_classes=3, shape=(1, 8, 8), width=2, mean=[0.5], std=[0.25])
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(1)
    expected = "c027fedd0e39c2baf6ddcf4c227f0920b05a1dffbde0f8474b851bc42e6baa73"
    assert model_digest(network) == model_digest(Frozen(network)) == expected
    network.class_names = ("a", "b", "c")
    assert model_digest(network) == expected
    shipped = load_model("robustill:digits_mtard_cnn-small")
    assert model_digest(shipped) == "101fa44488de22adf21c8583fd64b21957210fa79cb0e31baeef00942bd1cac1"


@pytest.mark.parametrize(
    "values",
    [
        (1.0, 2.0, "2.0", None),
        ([1, 2], [2, 1], {"a": 1}, {"a": 2}),
        (F.relu, F.gelu, torch.relu, nn.ReLU, nn.GELU),
        (Sizes(1), Sizes(2)),
        (Shade.DARK, Shade.LIGHT),
        (torch.float32, torch.float64),
        ((filled(1),), (filled(2),), [Frozen(filled(3))]),
    ],
)
def test_equal_tensors_and_another_attribute_are_another_network(values: tuple[Any, ...]) -> None:
    digests = [model_digest(Held(value)) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [model_digest(Held(value)) for value in values]
    assert len({model_digest(Frozen(Held(value))) for value in values}) == len(values)
    nested = [model_digest(nn.Sequential(nn.Flatten(), Held(value))) for value in values]
    assert len(set(nested)) == len(values)


def test_layers_of_torch_with_other_settings_are_another_network() -> None:
    layers = [
        nn.LeakyReLU(0.1), nn.LeakyReLU(0.3), nn.AvgPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(2, ceil_mode=True),
        nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"),
    ]  # fmt: skip
    assert len({model_digest(nn.Sequential(layer, nn.Flatten())) for layer in layers}) == len(layers)
    parts = {"a": nn.Tanh(), "b": nn.ReLU()}
    swapped = nn.Sequential(), nn.Sequential()
    for network, names in zip(swapped, ("ab", "ba"), strict=True):
        for name in names:
            network.add_module(name, parts[name])
    assert model_digest(swapped[0]) != model_digest(swapped[1])


def test_a_frozen_network_inside_another_counts() -> None:
    assert model_digest(Held(1, Frozen(filled(1)))) != model_digest(Held(1, Frozen(filled(2))))
    frozen = Frozen(filled(1))
    digest = model_digest(Held(1, frozen))
    frozen(torch.zeros(1, 2))  # its memory does not
    assert model_digest(Held(1, frozen)) == digest


def test_tensors_that_no_file_holds_count() -> None:
    def holding(value: float) -> str:
        network = nn.Sequential(nn.Flatten())
        network.register_buffer("grid", torch.tensor([value]), persistent=False)
        return model_digest(network)

    assert holding(1) != holding(2)


def test_an_architecture_of_a_user_is_told_by_its_attributes_too() -> None:
    assert model_digest(Own(1.0)) != model_digest(Own(2.0))
    named = Own(1.0)
    named.class_names = ("a", "b")
    assert model_digest(named) == model_digest(Own(1.0))


def test_what_does_not_decide_the_function_does_not_count() -> None:
    network = nn.Sequential(Held(1), nn.BatchNorm1d(2), nn.Dropout())
    digest = model_digest(network)
    network.eval().requires_grad_(False)
    network.register_forward_hook(lambda *_: None)
    network[0].device = "cuda:1"
    network[0].seen = object(), torch.zeros(2), [torch.zeros(2)]
    network[0].grid = None  # made when it is first called
    assert model_digest(network) == digest
    network[0].grid = torch.zeros(2)
    network[0].compile(backend="eager")
    assert model_digest(network) == digest


def test_networks_that_hold_each_other_have_a_digest() -> None:
    network = Held(None)
    network.parent, network.parts = (network,), [network.network, network.network]
    digest = model_digest(network)
    network.parts = [network.network]
    assert len(digest) == 64
    assert model_digest(network) != digest


def test_a_digest_is_the_same_in_another_process() -> None:
    code = (
        "import torch; from torch import nn; from robustill.models import model_digest; net = nn.LeakyReLU(0.3); "
        "net.names = {'one', 'two', 'three'}, {'a': 1, 'b': [None, True]}; print(model_digest(net))"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1


def test_a_digest_is_the_same_whatever_its_module_is_called(tmp_path: Path) -> None:
    """The file that is started is `__main__`, and `__mp_main__` in the processes that it starts."""
    (tmp_path / "started.py").write_text("""
from multiprocessing import get_context
from torch import nn
from robustill.models import model_digest

class Net(nn.Module):
    def forward(self, x):
        return x

def show():
    print(model_digest(Net()), flush=True)

if __name__ == "__main__":
    show()
    process = get_context("spawn").Process(target=show)
    process.start()
    process.join()
""")
    ways = (["started.py"], ["-m", "started"], ["-c", "import started; started.show()"])
    found = [
        subprocess.run([sys.executable, *way], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
        for way in ways
    ]
    assert list(map(len, found)) == [2, 2, 1]
    assert len({each for digests in found for each in digests}) == 1
