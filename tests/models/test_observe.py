"""What is seen of a network in use: calls in order, the last linear layer, the number of classes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models import build_model, count_classes, head, observed


class TwoHeads(nn.Module):
    """Registers its last linear layer under the last name, after one that comes before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 7), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())  # type: ignore[no-any-return]


def test_calls_are_collected_in_order_as_the_very_tensors_with_their_graphs() -> None:
    network = nn.Linear(3, 2)
    points = [torch.rand(4, 3) for _ in range(3)]
    with observed(network) as seen:
        outputs = [network(x) for x in points]
        assert len(seen) == 3
    for (given, returned), x, z in zip(seen, points, outputs, strict=True):
        assert given is x
        assert returned is z
        assert returned.requires_grad


def test_the_inner_calls_of_a_part_are_seen_and_those_of_the_whole_are_not() -> None:
    network = TwoHeads()
    x = torch.rand(4, 4)
    with observed(network.second) as seen:
        z = network(x)
    assert len(seen) == 1
    torch.testing.assert_close(seen[0][0], network.first(x).relu())
    assert seen[0][1] is z


def test_nothing_stays_behind() -> None:
    network = nn.Linear(3, 2)
    with observed(network) as seen:
        network(torch.rand(1, 3))
    network(torch.rand(1, 3))
    assert len(seen) == 1
    with pytest.raises(ZeroDivisionError), observed(network):
        raise ZeroDivisionError
    assert not network._forward_hooks
    copy.deepcopy(network)


def test_observers_do_not_disturb_one_another() -> None:
    network = nn.Linear(3, 2)
    with observed(network) as outer:
        network(torch.rand(1, 3))
        with observed(network) as inner:
            network(torch.rand(1, 3))
        network(torch.rand(1, 3))
    assert (len(outer), len(inner)) == (3, 1)


def test_the_head_is_the_last_linear_layer() -> None:
    network = TwoHeads()
    assert head(network) is network.second
    assert head(nn.Sequential(network, nn.ReLU())) is network.second
    assert head(network.first) is network.first
    for name in ("cnn_small", "resnet18", "mobilenet_v2"):
        model = build_model(name, num_classes=6)
        assert head(model).out_features == 6


def test_the_input_of_the_head_makes_the_logits() -> None:
    model = build_model("preact_resnet18", num_classes=4, shape=(3, 8, 8)).eval()
    x = torch.rand(2, 3, 8, 8)
    with torch.no_grad(), observed(head(model)) as seen:
        z = model(x)
    assert seen[0][0].shape == (2, head(model).in_features)
    torch.testing.assert_close(nn.functional.linear(seen[0][0], head(model).weight, head(model).bias), z)


@pytest.mark.parametrize("find", [head, count_classes])
def test_a_network_without_a_linear_layer_is_refused_with_advice(find: object) -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten())
    assert callable(find)
    with pytest.raises(ModelError, match=r"Sequential has no linear layer.*\n  hint: use a classifier whose logits"):
        find(network)


def test_classes_are_counted_by_the_spec_first() -> None:
    assert count_classes(TwoHeads()) == 5
    model = build_model("cnn_small", num_classes=7, shape=(1, 8, 8))
    assert count_classes(model) == 7
    # A last linear layer that is not the one of the logits does not mislead a classifier that says what it is.
    model.add_module("projection", nn.Linear(3, 128))
    assert head(model).out_features == 128
    assert count_classes(model) == 7
