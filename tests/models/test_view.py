"""`attack_view`: shorter types, refreshing, and what stays untouched."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.errors import InputError
from robustill.models import AttackView, Frozen, Normalize, attack_view
from tests.models.stirred import Block, Shift, X, assert_equal, gradient, hooked, logits, plain, small, stirred


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["resnet18", "preact_resnet18"])
def test_a_shorter_type_is_close_and_its_logits_are_float32(name: str, dtype: torch.dtype) -> None:
    network = small(name, width=8)
    x = torch.rand(32, 3, 8, 8)
    view = attack_view(network, dtype=dtype, sample=x)
    expected, found = logits(network, x), view(x)
    assert (view.dtype, view.why, found.dtype) == (dtype, None, torch.float32)
    error = (found - expected).square().mean().sqrt() / expected.std()
    assert 1e-6 < error < (0.02 if dtype == torch.bfloat16 else 0.003)
    top = expected.topk(2, dim=1).values
    clear = top[:, 0] - top[:, 1] > 0.05 * expected.std()
    assert clear.sum() > 16
    assert torch.equal(found.argmax(1)[clear], expected.argmax(1)[clear])
    ours, theirs = gradient(view, x), gradient(network, x)
    assert ours.dtype == torch.float32
    # Where rounding moves a value across the kink of a ReLU, the gradient jumps.
    alike = F.cosine_similarity(ours.flatten(1), theirs.flatten(1))
    assert alike.median() > 0.99
    assert alike.min() > 0.9


def test_layers_are_of_the_type_and_the_head_is_float32() -> None:
    view = attack_view(small(), dtype=torch.bfloat16)
    assert {m.weight.dtype for m in view.modules() if isinstance(m, nn.Conv2d)} == {torch.bfloat16}
    assert [m.weight.dtype for m in view.modules() if isinstance(m, nn.Linear)] == [torch.float32]
    assert not torch.equal(view(X), view(X).bfloat16().float())


@pytest.mark.parametrize("normalize", [Shift(), Normalize([0.75], [0.01])])
def test_images_are_normalised_before_they_are_rounded(normalize: nn.Module) -> None:
    network = nn.Sequential(normalize, nn.Flatten(), nn.Linear(4, 4, bias=False), nn.Linear(4, 2))
    view = attack_view(network, dtype=torch.bfloat16)
    x = torch.full((1, 1, 2, 2), 0.75)
    assert torch.equal(x.bfloat16(), (x + 1e-3).bfloat16())
    moved, expected = view(x + 1e-3) - view(x), logits(network, x + 1e-3) - logits(network, x)
    torch.testing.assert_close(moved, expected, rtol=0.02, atol=1e-3)


def test_logits_that_no_linear_layer_makes_are_float32_too() -> None:
    view = attack_view(nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()), dtype=torch.bfloat16)
    assert view(X).dtype == torch.float32
    assert torch.equal(view(X), view(X).bfloat16().float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_around_it_changes_nothing(dtype: torch.dtype) -> None:
    network = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        view = attack_view(network, dtype=dtype, sample=X)
        inside = view(X)
    assert (view.why, view.dtype, inside.dtype) == (None, dtype, torch.float32)
    assert torch.equal(inside, view(X))


@pytest.fixture(params=["resnet18", "sequence", "untraceable", "bfloat16"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[nn.Module, AttackView]]:
    made = {"sequence": plain, "untraceable": lambda: stirred(Block("untraceable"))}
    network = made.get(request.param, small)()
    dtype = torch.bfloat16 if request.param == "bfloat16" else torch.float32
    return network, attack_view(network, dtype=dtype, sample=X)


def close(view: AttackView, network: nn.Module) -> bool:
    expected = logits(network, X)
    return bool((view(X) - expected).abs().max() < (0.03 if view.dtype == torch.bfloat16 else 1e-4) * expected.std())


def test_refresh_reads_weights_and_statistics_into_the_same_tensors(pair) -> None:
    network, view = pair
    tensors = {name: tensor.data_ptr() for name, tensor in view.state_dict().items()}
    for kind in ("weight", "bias", "running_mean", "running_var"):
        with torch.no_grad():
            for module in network.modules():
                if isinstance(getattr(module, kind, None), Tensor):
                    getattr(module, kind).mul_(1.5).add_(0.1)
        assert not close(view, network)
        view.refresh()
        assert close(view, network)
    assert {name: tensor.data_ptr() for name, tensor in view.state_dict().items()} == tensors


def test_refresh_follows_a_step_of_an_optimizer(pair) -> None:
    network, view = pair
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    F.cross_entropy(network.train()(X), torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    before = view(X)
    optimizer.step()
    assert torch.equal(view(X), before)
    view.refresh()
    assert close(view, network)
    assert not torch.allclose(view(X), before, rtol=1e-2)
    assert all(not tensor.requires_grad for tensor in view.parameters())


def test_refresh_reads_buffers_that_foreign_code_computes_with() -> None:
    network = nn.Sequential(Shift(), nn.Flatten(), nn.Linear(192, 4))
    view = attack_view(network)
    assert view.why is None
    network[0].mean.fill_(0.2)
    network[0].std.fill_(0.5)
    view.refresh()
    assert_equal(view, network)


def state_of(network: nn.Module) -> list[Any]:
    modes = [module.training for module in network.modules()]
    parameters = [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in network.parameters()]
    tensors = [(t.clone(), t.data_ptr(), t._version) for t in network.state_dict().values()]
    return [modes, parameters, tensors]


@pytest.mark.parametrize("make", [small, plain, lambda: stirred(Block("untraceable")), lambda: hooked(small())])
def test_the_network_stays_as_it_was(make) -> None:
    network = make().train()
    list(network.children())[1].eval()
    next(network.parameters()).requires_grad_(False)
    F.cross_entropy(network(X), torch.zeros(6, dtype=torch.long)).backward()
    before, drawn = state_of(network), (torch.get_rng_state(), random.getstate())
    x = X.clone().requires_grad_()
    view = attack_view(network, dtype=torch.bfloat16, sample=X)
    torch.autograd.grad(view(x).sum(), x)
    view.refresh()
    view.to(torch.float64).requires_grad_(True).train()
    torch.testing.assert_close(state_of(network), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert random.getstate() == drawn[1]


def test_the_view_is_frozen_stays_in_eval_mode_and_does_not_hold_the_network(pair) -> None:
    network, view = pair
    owner = nn.Sequential(view).train()
    assert not any(module.training for module in owner[0].modules())
    assert not any(tensor.requires_grad for tensor in view.parameters())
    inside, own = set(map(id, view.modules())), set(map(id, network.modules()))
    assert not inside & own
    ours = {tensor.data_ptr() for tensor in view.state_dict().values()}
    assert not ours & {tensor.data_ptr() for tensor in network.state_dict().values()}


def test_a_frozen_teacher_is_unwrapped() -> None:
    teacher = Frozen(small())
    view = attack_view(teacher, sample=X)
    assert (view.folded, view.why) == (20, None)
    assert_equal(view, teacher)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be computed in"):
        attack_view(small(), dtype=torch.int8)
