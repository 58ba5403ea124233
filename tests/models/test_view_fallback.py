"""`attack_view` of networks that cannot be folded, cast, traced or copied: always their own logits, and the reason."""

from __future__ import annotations

import copy
import random
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from robustill.models import attack_view
from tests.models.stirred import Block, X, assert_equal, hooked, logits, plain, small, stirred


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def replaced(network: nn.Module) -> nn.Module:
    network.forward = lambda x: x.mean((2, 3))  # type: ignore[method-assign]
    return network


def parametrised(network: nn.Module) -> nn.Module:
    parametrizations.weight_norm(network[0])  # type: ignore[index]
    return network


class Noisy(nn.Module):
    """Draws when it is called, of the shape that `how` says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.linear = how, nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "number":
            noise: Any = random.random()
        elif self.how == "constant":
            noise = torch.zeros(1, 4).normal_(generator=torch.Generator().manual_seed(random.getrandbits(1)))
        else:
            noise = torch.randn(1, 4) if self.how == "tensor" else torch.randn_like(x).mean()
        return self.linear(x.flatten(1)) + noise  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (lambda: hooked(small()), "its .* has hooks"),
        (lambda: parametrised(plain()), "its 0 has parametrised weights"),
        (lambda: replaced(small()), "other means than the forward of its class"),
        (lambda: Noisy("tensor"), "draws random numbers"),
        (lambda: Noisy("like"), "draws random numbers"),
    ],
)
def test_what_no_copy_may_stand_for_is_asked_itself(network, why: str) -> None:
    network = network().train()
    view = attack_view(network, dtype=torch.bfloat16, sample=X)
    assert view.folded == 0
    assert re.search(why, view.why)
    assert (view.network, view.dtype) == (None, None)
    torch.manual_seed(1)
    expected = logits(network, X)
    torch.manual_seed(1)
    statistics = copy.deepcopy(list(network.buffers()))
    assert torch.equal(view(X), expected)
    torch.testing.assert_close(list(network.buffers()), statistics, rtol=0, atol=0)
    assert all(module.training for module in network.modules())
    view.refresh()


@pytest.mark.parametrize("how", ["tensor", "number"])
def test_random_numbers_do_not_become_constants(how: str) -> None:
    network = Noisy(how)
    drawn = (torch.get_rng_state(), random.getstate())
    view = attack_view(network)
    assert view.why == "it draws random numbers"
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert random.getstate() == drawn[1]
    assert not torch.equal(view(X), view(X))


def test_tensors_made_in_passing_do_not_become_constants() -> None:
    view = attack_view(Own())
    assert view.why == "it makes tensors of its own"
    assert_equal(view, view._held[0])


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1)) * torch.arange(4)  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_cannot_be_traced_is_copied(dtype: torch.dtype) -> None:
    network = stirred(Block("untraceable")).train()
    view = attack_view(network, dtype=dtype, sample=X)
    assert (view.folded, view.dtype) == (0, dtype)
    assert str(view.why).startswith("RuntimeError: 'len' is not supported")
    assert "\n" not in str(view.why)
    expected = logits(network, X)
    assert (view(X) - expected).abs().max() < (0.02 if dtype == torch.bfloat16 else 1e-5) * expected.std()
    assert view(X).dtype == torch.float32
    assert next(view.parameters()) is not next(network.parameters())


def test_a_copy_that_computes_something_else_is_not_used() -> None:
    class Closed(nn.Module):
        """Computes with a network that a copy does not have."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(192, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.flatten(1)) * (1.01 if self is closed else 1.0)  # type: ignore[no-any-return]

    closed = Closed()
    view = attack_view(closed, sample=X)
    assert view.network is None
    assert view.why == "its logits in float32 are too far from its own"
    assert torch.equal(view(X), closed(X))


class Single(nn.Linear):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        raise ValueError("there is only one\nof me")


def test_what_cannot_be_copied_is_asked_itself() -> None:
    network = nn.Sequential(nn.Flatten(), Single(192, 4))
    view = attack_view(network, sample=X)
    assert (view.network, view.why) == (None, "ValueError: there is only one")
    assert_equal(view, network)


def test_a_type_too_short_for_the_network_is_left_for_float32() -> None:
    network = plain()
    with torch.no_grad():
        network[0].weight.mul_(1e6)
        network[1].eps = 1e-12
        network[1].running_var.fill_(1)
    view = attack_view(network, dtype=torch.float16, sample=X)
    assert (view.dtype, view.folded) == (torch.float32, 3)
    assert view.why == "its logits in float16 are too far from its own"
    assert_equal(view, network)
