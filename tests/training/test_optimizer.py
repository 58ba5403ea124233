"""The optimizers' fused form computes what the plain one does, in every layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.errors import InputError
from robustill.methods import CIARD, IGDM, PGDAT, RSLAD, Method, PeerAiD
from robustill.models import build_model
from robustill.training import train
from robustill.training.optimizer import build_optimizer
from robustill.training.settings import OptimizerSettings


def network(channels_last: bool) -> nn.Module:
    torch.manual_seed(0)
    net = build_model("resnet18", num_classes=3, shape=(3, 8, 8), width=4)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    # In double precision, so that batch norm over few images does not enlarge a last digit.
    return net.double().to(memory_format=layout)  # type: ignore[no-any-return, call-overload]


def fit(net: nn.Module, optimizer: torch.optim.Optimizer, channels_last: bool) -> list[torch.Tensor]:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        x = torch.rand(6, 3, 8, 8, generator=generator, dtype=torch.float64).contiguous(memory_format=layout)
        for part in (x[:3], x[3:]):
            net(part).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return [weight.detach() for weight in net.parameters()]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("table", "plain"),
    [
        ({"lr": 0.05}, lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, weight_decay=2e-4)),
        (
            {"lr": 0.05, "nesterov": True, "weight_decay": 0.01},
            lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        ({"name": "adamw", "lr": 1e-3}, lambda w: torch.optim.AdamW(w, lr=1e-3, weight_decay=2e-4)),
    ],
    ids=["sgd", "nesterov", "adamw"],
)
def test_fused_is_plain(table: dict[str, Any], plain: Any, channels_last: bool) -> None:
    ours, theirs = network(channels_last), network(channels_last)
    fused = build_optimizer(ours, OptimizerSettings.model_validate(table))
    assert fused.param_groups[0]["fused"] is True
    reference = plain(theirs.parameters())
    assert not reference.param_groups[0]["fused"]
    moved = fit(ours, fused, channels_last)
    for a, b, start in zip(
        moved, fit(theirs, reference, channels_last), network(channels_last).parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
        assert not torch.equal(a, start)


def test_what_is_frozen_is_not_optimized() -> None:
    net = network(False)
    net.conv1.requires_grad_(False)  # type: ignore[union-attr, operator]
    weights = build_optimizer(net, OptimizerSettings()).param_groups[0]["params"]
    assert len(weights) == len(list(net.parameters())) - 1


ATTACK = PGD(eps=0.1, step_size=0.1, steps=1)


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("cnn_small", num_classes=3, shape=(1, 8, 8))


def both(net: nn.Module) -> Method:
    return RSLAD(net, net, attack=ATTACK)


def once(net: nn.Module) -> Method:
    RSLAD(small(1), net)
    return PGDAT(net, attack=ATTACK)


def learning_teacher(net: nn.Module) -> Method:
    return IGDM(CIARD(small(1), net, small(2), attack=ATTACK), net)


@pytest.mark.parametrize(("make", "role"), [(both, "student"), (once, "student"), (learning_teacher, "teacher_adv")])
def test_a_frozen_network_cannot_be_trained(make: Any, role: str, tiny_data: Data) -> None:
    with pytest.raises(InputError, match=f"^{role} is to be trained, but all its weights are frozen\n.*also a teacher"):
        train(make(small()), tiny_data, epochs=1, progress=False)


def test_the_students_optimizer_is_no_guides(tiny_data: Data) -> None:
    method = PeerAiD(small(), small(1), attack=ATTACK)
    with pytest.raises(InputError, match=r"set training.optimizer"):
        train(method, tiny_data, epochs=1, progress=False, guides={"student": {}})
