"""What every method promises to the training loop. A method in METHODS needs one line in CASES."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import correct, eval_mode
from robustill.methods import METHODS, Method, Standard, Wrapper, card
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen
from tests.methods.tiny import ATTACK, batch, conv_bn, gradients, linear, twin

# Name -> the method around a student, a robust and a clean teacher.
CASES: dict[str, Callable[[nn.Module, nn.Module, nn.Module], Method]] = {
    "standard": lambda s, t, n: METHODS["standard"](s),
    "kd": lambda s, t, n: METHODS["kd"](s, t),
    "pgd_at": lambda s, t, n: METHODS["pgd_at"](s, attack=ATTACK),
    "trades": lambda s, t, n: METHODS["trades"](s, attack=ATTACK),
    "mart": lambda s, t, n: METHODS["mart"](s, attack=ATTACK),
    "ard": lambda s, t, n: METHODS["ard"](s, t, attack=ATTACK),
    "rslad": lambda s, t, n: METHODS["rslad"](s, t, attack=ATTACK),
    "adaad": lambda s, t, n: METHODS["adaad"](s, t, attack=ATTACK),
    "mtard": lambda s, t, n: METHODS["mtard"](s, t, n, attack=ATTACK),
    "bmtard": lambda s, t, n: METHODS["bmtard"](s, t, n, attack=ATTACK),
    "hat": lambda s, t, n: METHODS["hat"](s, n, attack=ATTACK),
    "lbgat": lambda s, t, n: METHODS["lbgat"](s, another(s), attack=ATTACK),
    "iad": lambda s, t, n: METHODS["iad"](s, t, n, begin=0, attack=ATTACK),
    "akd": lambda s, t, n: METHODS["akd"](s, [t, n], attack=ATTACK),
    "akd2": lambda s, t, n: METHODS["akd2"](s, t, n, attack=ATTACK),
    "absld": lambda s, t, n: METHODS["absld"](s, t, attack=ATTACK),
    "adaiad": lambda s, t, n: METHODS["adaiad"](s, t, begin=0, temperature=3.0, attack=ATTACK),
    "dgad": lambda s, t, n: METHODS["dgad"](s, t, attack=ATTACK),
    "saad": lambda s, t, n: METHODS["saad"](s, t, beta=0.5, attack=ATTACK),
    "ciard": lambda s, t, n: METHODS["ciard"](s, t, n, begin=0, attack=ATTACK),
    "peeraid": lambda s, t, n: METHODS["peeraid"](s, another(s), attack=ATTACK),
    "igdm": lambda s, t, n: METHODS["igdm"](METHODS["rslad"](s, t, attack=ATTACK)),
    "fair_ard": lambda s, t, n: METHODS["fair_ard"](METHODS["ard"](s, t, attack=ATTACK)),
    "vfd_adv": lambda s, t, n: METHODS["vfd_adv"](METHODS["pgd_at"](s, attack=ATTACK), n),
    "soften": lambda s, t, n: METHODS["soften"](METHODS["adaad"](s, t, attack=ATTACK), lam=0.3),
    "faithful": lambda s, t, n: METHODS["faithful"](s, t, cert_eps=0.03, attack=ATTACK),
    "ibp": lambda s, t, n: METHODS["ibp"](s, eps=0.03),
    "crown_ibp": lambda s, t, n: METHODS["crown_ibp"](s, eps=0.03, beta=0.3),
}


def another(student: nn.Module) -> nn.Module:
    """Return a network like the student with fresh weights of its own."""
    network = copy.deepcopy(student)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return network


@cache
def trained(seed: int) -> nn.Module:
    """Return a teacher that knows the problem."""
    network = conv_bn(seed)
    fit(Standard(network), steps=25)
    return network.eval()


def build(name: str) -> Method:
    """Return a method in train mode, with teachers of its own."""
    return CASES[name](conv_bn(0), copy.deepcopy(trained(1)), copy.deepcopy(trained(2))).train()


def fit(method: Method, *, steps: int, seed: int = 0, size: int = 24) -> list[float]:
    """Train with plain SGD and return the loss of every step."""
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    losses = []
    method.train()
    for step in range(seed, seed + steps):
        torch.manual_seed(step)
        total = method(*batch(size, seed=step)).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        method.after_step()
        losses.append(total.item())
    return losses


def teachers(method: Method) -> list[nn.Module]:
    return [module.network for module in method.modules() if isinstance(module, Frozen)]


every_method = pytest.mark.parametrize("name", METHODS)
every_adversary = pytest.mark.parametrize("name", [n for n, m in METHODS.items() if issubclass(m, AdversarialMethod)])


def test_every_method_has_a_case() -> None:
    assert set(CASES) == set(METHODS)


@every_method
def test_it_trains(name: str) -> None:
    method = build(name)
    losses = fit(method, steps=40)
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])
    x, y = batch(100, seed=999)
    assert correct(method.student, x, y).float().mean() > 0.9


@every_method
def test_its_teachers_are_untouched_and_out_of_sight(name: str) -> None:
    method = build(name)
    before = [copy.deepcopy(network.state_dict()) for network in teachers(method)]
    fit(method, steps=3)
    method.requires_grad_(True)
    method.train()
    seen = {id(tensor) for tensor in [*method.parameters(), *method.buffers(), *method.state_dict().values()]}
    for network, state in zip(teachers(method), before, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
        assert not any(module.training for module in network.modules())
        assert not any(weight.requires_grad or weight.grad is not None for weight in network.parameters())
        assert seen.isdisjoint(id(tensor) for tensor in [*network.parameters(), *network.buffers()])
    saved = {id(value): value for value in method.state_dict(keep_vars=True).values()}
    trained = {id(v) for network in method.trained().values() for v in network.state_dict(keep_vars=True).values()}
    assert method.trained()["student"] is method.student
    assert {id(weight) for weight in method.parameters()} <= trained <= set(saved)
    extra = sum(value.numel() for key, value in saved.items() if key not in trained)
    assert extra < 20, "adaptive state is a few numbers; a network has leaked into the checkpoint"


@every_adversary
def test_its_adversary_stays_in_the_ball_and_does_not_lose(name: str) -> None:
    method = build(name)
    fit(method, steps=10)
    x, y = batch(40, seed=50)
    x[:, :, 3] = torch.tensor([0.0, 1.0, 0.02, 0.97])
    assert isinstance(method, AdversarialMethod)
    method.attack = replace(ATTACK, steps=5)
    x_adv = method.perturb(x, y)
    assert (x_adv - x).abs().max() > 0.099
    assert x_adv.shape == x.shape
    assert x_adv.dtype == x.dtype
    assert not x_adv.requires_grad
    assert bool(((x_adv.double() - x.double()).abs() <= ATTACK.eps).all())
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    with eval_mode(method), torch.no_grad():
        objective = method.inner(x, y)
        at_x, at_x_adv = objective(x), objective(x_adv)
    assert bool((at_x_adv >= at_x - 1e-5).all())
    assert at_x_adv.mean() > at_x.mean() + 1e-3


@every_method
def test_modes_come_back_one_by_one(name: str) -> None:
    method = build(name)
    method.student[1].eval()  # type: ignore[index]
    before = [module.training for module in method.modules()]
    assert True in before
    loss = method(*batch())
    assert [module.training for module in method.modules()] == before
    assert torch.isfinite(loss.total)
    method.eval()
    method(*batch())
    assert not any(module.training for module in method.modules())


@every_adversary
def test_the_attack_runs_in_eval_mode_and_keeps_batch_norm(name: str) -> None:
    method = build(name)
    assert isinstance(method, AdversarialMethod)
    before = copy.deepcopy(method.state_dict())
    method.perturb(*batch())
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


@every_adversary
def test_the_attack_leaves_weight_gradients_alone(name: str) -> None:
    method = build(name)
    assert isinstance(method, AdversarialMethod)
    method.perturb(*batch())
    assert all(weight.grad is None and weight.requires_grad for weight in method.parameters())
    weights = list(method.parameters())
    for k, weight in enumerate(weights):
        weight.grad = torch.full_like(weight, float(k))
    method.perturb(*batch())
    for k, weight in enumerate(weights):
        assert weight.grad is not None
        assert set(weight.grad.flatten().tolist()) == {float(k)}


@every_method
def test_the_seed_decides_everything(name: str) -> None:
    runs = []
    for seed in (5, 5, 6):
        method = build(name)
        torch.manual_seed(seed)
        loss = method(*batch())
        runs.append([loss.total.detach(), *loss.terms.values(), *gradients(loss.total, method.student)])
    assert all(torch.equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    if issubclass(METHODS[name], AdversarialMethod):
        assert any(not torch.equal(a, b) for a, b in zip(runs[0], runs[2], strict=True))


@every_method
@pytest.mark.parametrize("size", [1, 7])
def test_terms_are_finite_scalars_without_a_graph(name: str, size: int) -> None:
    loss = build(name)(*batch(size))
    assert isinstance(loss, Loss)
    assert loss.total.shape == ()
    assert loss.total.requires_grad
    assert loss.terms
    for value in [loss.total, *loss.terms.values()]:
        assert value.shape == ()
        assert torch.isfinite(value)
    assert not any(value.requires_grad for value in loss.terms.values())


@every_method
def test_float64_reaches_everything(name: str) -> None:
    method = build(name).double()
    x, y = batch(dtype=torch.float64)
    loss = method(x, y)
    assert {value.dtype for value in [loss.total, *loss.terms.values()]} == {torch.float64}
    if isinstance(method, AdversarialMethod):
        assert method.perturb(x, y).dtype == torch.float64


@every_method
def test_bfloat16_autocast_stays_close_to_float32(name: str) -> None:
    method = build(name)
    fit(method, steps=5)
    other = twin(method)
    x, y = batch(32, seed=77)
    totals, slopes = [], []
    for one, enabled in ((method, False), (other, True)):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = one(x, y)
        assert loss.total.dtype == torch.float32
        totals.append(loss.total.item())
        slopes.append(torch.cat([g.flatten() for g in gradients(loss.total, one.student)]))
    assert totals[1] == pytest.approx(totals[0], rel=0.1, abs=0.02)
    assert bool(torch.isfinite(slopes[1]).all())
    assert torch.cosine_similarity(slopes[0], slopes[1], dim=0) > 0.9


@every_method
def test_a_run_resumed_from_its_state_gives_bit_equal_losses(name: str) -> None:
    straight = build(name)
    straight.begin_epoch(0, 1.0, 4)
    fit(straight, steps=4)
    straight.end_epoch()
    straight.begin_epoch(1, 0.1, 4)
    fit(straight, steps=2, seed=4)
    saved = copy.deepcopy(straight.state_dict())
    resumed = build(name)
    resumed.load_state_dict(saved)
    resumed.begin_epoch(1, 0.1, 4)
    for epoch, seed in ((1, 10), (2, 20)):
        assert fit(resumed, steps=4, seed=seed) == fit(straight, steps=4, seed=seed)
        for method in (straight, resumed):
            method.end_epoch()
            method.begin_epoch(epoch + 1, 0.1, 4)
    pairs = itertools.zip_longest(straight.state_dict().items(), resumed.state_dict().items())
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


@every_method
def test_a_student_without_batch_norm_and_on_flat_images(name: str) -> None:
    student, robust, natural = (nn.Sequential(linear(seed).get_submodule("1")) for seed in (0, 1, 2))
    x, y = batch()
    loss = CASES[name](student, robust, natural).train()(x.flatten(1), y)
    assert max(float(g.abs().max()) for g in gradients(loss.total, student)) > 0


@every_method
def test_its_card_can_be_read(name: str) -> None:
    found = card(name, METHODS[name])
    for field in ("title", "paper", "inner", "outer", "state", "settings"):
        assert getattr(found, field).strip(), field
    assert found.networks[0] == ("base" if issubclass(METHODS[name], Wrapper) else "student")
    assert found.name == name
    assert found.to_json()["outer"] == found.outer


def test_terms_of_a_loss_lose_their_graph() -> None:
    weight = torch.ones((), requires_grad=True)
    loss = Loss(2 * weight, {"part": 3 * weight})
    assert loss.total.requires_grad
    assert not loss.terms["part"].requires_grad
    assert isinstance(loss.terms["part"], Tensor)
