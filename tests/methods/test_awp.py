"""Adversarial weight perturbation: where the step is taken, what returns, and what it must not touch."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustill.errors import InputError
from robustill.methods import BMTARD, KD, PGDAT, TRADES, Method, Standard
from robustill.methods.base import AdversarialMethod
from robustill.training.awp import AWP
from tests.methods.tiny import ATTACK, batch, conv_bn, teacher

GAMMA = 0.02


def trades() -> AdversarialMethod:
    return TRADES(conv_bn(0), attack=ATTACK).train()


def bmtard() -> AdversarialMethod:
    return BMTARD(conv_bn(0), teacher(1), teacher(2), attack=ATTACK, temperature_rate=0.1, weight_rate=0.5).train()


def optimizer_of(method: Method) -> torch.optim.Optimizer:
    return torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)


def ascent(method: AdversarialMethod, x: Tensor, x_adv: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return gamma d of the weight tensors, found on a copy so that the method stays as it is."""
    proxy = copy.deepcopy(method)
    proxy.zero_grad()
    proxy.outer(x, x_adv, y).total.backward()  # type: ignore[no-untyped-call]
    shifts = {}
    for name, weight in proxy.student.named_parameters():
        if weight.ndim > 1:
            assert weight.grad is not None
            shifts[name] = GAMMA * weight.detach().norm() * weight.grad / weight.grad.norm()
    return shifts


def step_by_hand(method: AdversarialMethod, optimizer: torch.optim.Optimizer, seed: int) -> float:
    x, y = batch(seed=seed)
    torch.manual_seed(seed)
    x_adv = method.perturb(x, y)
    shifts = ascent(method, x, x_adv, y)
    weights = dict(method.student.named_parameters())
    for name, shift in shifts.items():
        weights[name].data += shift
    total = method.outer(x, x_adv, y).total
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for name, shift in shifts.items():
        weights[name].data -= shift
    return total.item()


def step(method: Method, optimizer: torch.optim.Optimizer, seed: int) -> float:
    torch.manual_seed(seed)
    total = method(*batch(seed=seed)).total
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    method.after_step()
    return float(total.detach())


@pytest.mark.parametrize("build", [trades, bmtard])
def test_weights_and_buffers_are_those_of_a_step_at_the_shifted_point(build: Callable[[], AdversarialMethod]) -> None:
    plain, wrapped = build(), AWP(build(), gamma=GAMMA)
    by_hand, ours = optimizer_of(plain), optimizer_of(wrapped)
    for seed in range(3):
        assert step(wrapped, ours, seed) == pytest.approx(step_by_hand(plain, by_hand, seed), rel=1e-5)
    # Every number: weights, batch-norm statistics (two updates a step) and the balances (one update a step).
    found, expected = wrapped.base.state_dict(), plain.state_dict()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert found["student.1.num_batches_tracked"] == 6
    without = build()
    optimizer = optimizer_of(without)
    for seed in range(3):
        step(without, optimizer, seed)
    gap = without.student.get_parameter("0.weight") - plain.student.get_parameter("0.weight")
    assert gap.abs().max() > 1e-4


def test_the_ascent_pass_leaves_no_trace_in_buffers() -> None:
    """With a first layer that does not move, statistics are those of a step without the perturbation, bit for bit."""
    plain, wrapped = bmtard(), AWP(bmtard(), gamma=GAMMA)
    for method in (plain, wrapped):
        method.student.get_submodule("0").requires_grad_(False)
        torch.manual_seed(0)
        method(*batch())
    found, expected = dict(wrapped.base.student.named_buffers()), dict(plain.student.named_buffers())
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert found["1.num_batches_tracked"] == 2


def test_each_weight_tensor_moves_by_gamma_of_its_norm_and_nothing_else_moves() -> None:
    wrapped = AWP(trades(), gamma=GAMMA)
    before = {name: weight.detach().clone() for name, weight in wrapped.student.named_parameters()}
    wrapped(*batch())
    moved = set()
    for name, weight in wrapped.student.named_parameters():
        shift = (weight.detach() - before[name]).norm().item()
        if shift:
            moved.add(name)
            assert shift == pytest.approx(GAMMA * before[name].norm().item(), rel=1e-4)
    assert moved == {"0.weight", "4.weight"}
    assert before["1.weight"].numel() == 4, "batch norm has a weight that must stay"
    wrapped.after_step()
    for name, weight in wrapped.student.named_parameters():
        torch.testing.assert_close(weight.detach(), before[name], rtol=0, atol=1e-6)


def test_the_perturbation_raises_the_loss() -> None:
    base = trades()
    x, y = batch()
    torch.manual_seed(0)
    plain = base(x, y).total
    torch.manual_seed(0)
    raised = AWP(trades(), gamma=0.1)(x, y).total
    assert raised > plain + 1e-3


def test_the_ascent_leaves_gradients_alone() -> None:
    wrapped = AWP(trades(), gamma=GAMMA)
    wrapped(*batch())
    assert all(weight.grad is None for weight in wrapped.parameters())


@pytest.mark.parametrize("how", ["gamma 0", "warm-up", "eval"])
def test_it_does_nothing_when_it_should_not(how: str) -> None:
    plain = bmtard()
    wrapped = AWP(bmtard(), gamma=0.0 if how == "gamma 0" else GAMMA, warmup=2 if how == "warm-up" else 0)
    if how == "eval":
        plain.eval()
        wrapped.eval()
    first, second = optimizer_of(plain), optimizer_of(wrapped)
    for epoch in range(2):
        wrapped.begin_epoch(epoch, 1.0, 10)
        assert step(wrapped, second, epoch) == step(plain, first, epoch)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), wrapped.parameters(), strict=True))


def test_warm_up_ends_and_the_wrapped_method_hears_of_every_epoch() -> None:
    base = bmtard()
    assert isinstance(base, BMTARD)
    wrapped = AWP(base, gamma=GAMMA, warmup=2)
    started = []
    for epoch in range(4):
        before = [weight.detach().clone() for weight in wrapped.parameters()]
        wrapped.begin_epoch(epoch, 0.1, 10)
        wrapped(*batch())
        started.append(any(not torch.equal(a, b) for a, b in zip(before, wrapped.parameters(), strict=True)))
        wrapped.after_step()
    assert started == [False, False, True, True]
    assert base.losses.rate == pytest.approx(0.05)


def test_the_checkpoint_holds_nothing_of_its_own() -> None:
    wrapped = AWP(bmtard(), gamma=GAMMA)
    step(wrapped, optimizer_of(wrapped), 0)
    assert {key.removeprefix("base.") for key in wrapped.state_dict()} == set(bmtard().state_dict())
    assert wrapped.student is wrapped.base.student


@pytest.mark.parametrize("base", [lambda: Standard(conv_bn(0)), lambda: KD(conv_bn(0), teacher(1))])
def test_a_method_without_an_adversary_is_refused(base: Callable[[], Method]) -> None:
    with pytest.raises(InputError, match=r"(Standard|KD) has none\n  hint: set awp.gamma = 0"):
        AWP(base(), gamma=GAMMA)


def test_a_forward_that_was_never_stepped_is_taken_back_too() -> None:
    wrapped = AWP(PGDAT(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), attack=ATTACK).train(), gamma=GAMMA)
    before = [weight.detach().clone() for weight in wrapped.parameters()]
    wrapped(*batch())
    wrapped(*batch(seed=1))
    wrapped.after_step()
    for old, new in zip(before, wrapped.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old, rtol=0, atol=1e-6)
