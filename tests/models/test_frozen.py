"""Each promise of `Frozen`."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from robustill.models import Frozen, build_model


class Method(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(4, 2)
        self.teacher = Frozen(build_model("resnet18", num_classes=2, shape=(1, 8, 8), width=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.teacher(x)


@pytest.fixture
def method() -> Method:
    torch.manual_seed(0)
    return Method()


def test_the_owner_does_not_see_the_network(method: Method) -> None:
    assert {name for name, _ in method.named_parameters()} == {"student.weight", "student.bias"}
    assert set(method.state_dict()) == {"student.weight", "student.bias"}
    assert list(method.buffers()) == []
    assert [type(module) for module in method.modules()] == [Method, nn.Linear, Frozen]


def test_it_stays_in_eval_mode_and_its_statistics_stay(method: Method) -> None:
    method.train()
    network = method.teacher.network
    assert not any(module.training for module in network.modules())
    assert not method.teacher.training
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    method(torch.rand(4, 1, 8, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_train_repairs_a_network_somebody_else_switched(method: Method) -> None:
    method.teacher.network.train()
    method.train()
    assert not any(module.training for module in method.teacher.network.modules())


def test_parameters_get_no_gradient_but_the_input_does(method: Method) -> None:
    method.requires_grad_(True)
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    method(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(not p.requires_grad and p.grad is None for p in method.teacher.network.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_it_is_cast_with_its_owner(method: Method, dtype: torch.dtype) -> None:
    method.to(dtype)
    network = method.teacher.network
    assert {p.dtype for p in network.parameters()} == {dtype}
    assert network.bn1.running_mean.dtype == dtype
    assert network.bn1.num_batches_tracked.dtype == torch.int64
    assert not any(p.requires_grad for p in network.parameters())


def test_it_is_moved_with_its_owner(method: Method) -> None:
    method.to("meta")
    assert {t.device.type for t in method.teacher.network.state_dict().values()} == {"meta"}


def test_it_is_frozen_in_place_and_only_once() -> None:
    network = nn.Linear(2, 2)
    twice = Frozen(Frozen(network))
    assert twice.network is network
    assert not network.training
    assert not twice.training
    assert not network.weight.requires_grad


def test_a_deep_copy_is_independent_and_still_frozen(method: Method) -> None:
    x = torch.rand(2, 1, 8, 8)
    other = copy.deepcopy(method)
    assert other.teacher.network is not method.teacher.network
    assert torch.equal(other(x), method(x))
    with torch.no_grad():
        other.teacher.network.linear.bias.add_(1)
    assert not torch.equal(other(x), method(x))
    other.train()
    assert list(other.teacher.parameters()) == []
    assert not other.teacher.network.training


def test_the_owner_loads_with_strict_keys(method: Method) -> None:
    other = Method()
    teacher = copy.deepcopy(other.teacher.network.state_dict())
    other.load_state_dict(method.state_dict(), strict=True)
    assert torch.equal(other.student.weight, method.student.weight)
    assert all(torch.equal(teacher[name], t) for name, t in other.teacher.network.state_dict().items())


def test_repr_names_the_network(method: Method) -> None:
    count = sum(p.numel() for p in method.teacher.network.parameters())
    assert repr(method.teacher) == f"Frozen(ResNet, {count:,} parameters)"
    assert "(teacher): Frozen(ResNet" in repr(method)
