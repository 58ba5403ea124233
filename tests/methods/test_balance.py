"""The adaptive state of MTARD and B-MTARD: numbers of the papers, guards, and where it must not reach."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from robustill.methods import BMTARD, MTARD, Method
from robustill.methods.balance import EntropyBalance, LossBalance
from tests.methods.tiny import ATTACK, batch, conv, gradients, nearby, teacher, twin
from tests.reference import balance as reference


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def loss_balance(terms: int = 2, rate: float = 0.025, power: float = 1.0) -> LossBalance:
    return LossBalance(terms, rate=rate, power=power).double()


def entropy_balance(tau: Sequence[float] = (1.0, 1.0), rate: float = 0.001) -> EntropyBalance:
    balance = EntropyBalance(len(tau), rate=rate).double()
    balance.temperatures.copy_(vector(*tau))
    return balance


def test_loss_balance_gives_the_numbers_of_the_specification() -> None:
    balance = loss_balance()
    balance.update(vector(2.0, 1.0))
    assert balance.weights.tolist() == [0.5, 0.5]
    assert balance.first.tolist() == [2.0, 1.0]
    balance.update(vector(1.0, 1.0))
    torch.testing.assert_close(balance.weights, vector(0.49583333333333335, 0.5041666666666667), rtol=0, atol=1e-12)
    assert balance.first.tolist() == [2.0, 1.0]


def test_two_terms_follow_the_conference_rule_for_200_steps() -> None:
    draw = random.Random(0)
    balance, first, weights = loss_balance(), None, (0.5, 0.5)
    single = LossBalance(2, rate=0.025)
    for _ in range(200):
        losses = (draw.uniform(0.1, 5.0), draw.uniform(0.1, 2.0))
        first = first or losses
        weights = reference.conference(weights[1], losses, first, 0.025)
        balance.update(vector(*losses))
        single.update(vector(*losses))
        assert balance.weights.tolist() == pytest.approx(weights, abs=1e-12)
        assert single.weights.tolist() == pytest.approx(weights, abs=1e-6)
    assert abs(weights[0] - 0.5) > 0.01


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_any_number_of_terms_follows_the_journal_rule(power: float) -> None:
    draw = random.Random(1)
    balance, first = loss_balance(4, power=power), None
    weights = [0.25] * 4
    for _ in range(200):
        losses = [draw.uniform(0.1, 5.0) for _ in range(4)]
        first = first or losses
        weights = reference.journal(weights, losses, first, 0.025, power)
        balance.update(vector(*losses))
        assert balance.weights.tolist() == pytest.approx(weights, abs=1e-12)
        assert sum(balance.weights.tolist()) == pytest.approx(1.0, abs=1e-12)


def test_losses_of_zero_never_poison_the_weights() -> None:
    for values in (((0.0, 1.0), (1.0, 1.0)), ((1.0, 1.0), (0.0, 0.0)), ((0.0, 0.0), (0.0, 0.0))):
        balance = loss_balance()
        for losses in values:
            balance.update(vector(*losses))
        assert torch.isfinite(balance.weights).all()
        assert balance.weights.sum().item() == pytest.approx(1.0)
    assert balance.weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("tau", "entropies", "after"),
    [
        ((1.0, 1.0), (0.9, 0.1), (1.0, 1.001)),
        ((1.0, 1.0), (0.1, 0.9), (1.001, 1.0)),
        ((2.0, 3.0), (0.9, 0.1), (1.999, 3.001)),
        ((2.0, 3.0), (0.5, 0.5), (2.0, 3.0)),
        ((1.0, 10.0), (0.9, 0.1), (1.0, 10.0)),
        ((2.0, 3.0), (0.5, 0.0), (1.999, 3.001)),
        ((2.0, 3.0), (0.0, 0.0), (2.0, 3.0)),
    ],
    ids=["clamped", "other way", "free", "equal", "both ends", "underflow", "both underflow"],
)
def test_entropy_balance_gives_the_cases_of_the_specification(
    tau: tuple[float, float], entropies: tuple[float, float], after: tuple[float, float]
) -> None:
    balance = entropy_balance(tau)
    balance.update(vector(*entropies))
    assert balance.temperatures.tolist() == pytest.approx(after, abs=1e-15)


def test_two_teachers_follow_the_papers_ratio_rule_exactly_for_200_steps() -> None:
    draw = random.Random(2)
    balance, tau, seen = entropy_balance(rate=0.3), (1.0, 1.0), set()
    for step in range(200):
        lead = 2.0 if step // 50 % 2 else 0.5
        h_adv, h_nat = draw.uniform(0.01, 2.0), lead * draw.uniform(0.01, 2.0)
        tau = reference.temperatures(tau, h_adv, h_nat, 0.3)
        balance.update(vector(h_adv, h_nat))
        assert tuple(balance.temperatures.tolist()) == tau
        seen |= {value in (1.0, 10.0) for value in tau}
    assert seen == {True, False}


def test_more_teachers_move_towards_their_mean_entropy() -> None:
    balance = entropy_balance((2.0, 2.0, 2.0))
    balance.update(vector(1.0, 0.5, 0.75))
    assert balance.temperatures.tolist() == pytest.approx([1.999, 2.001, 2.0])
    balance = entropy_balance((2.0, 2.0, 2.0))
    balance.update(vector(1.0, 0.1, 0.3))
    assert balance.temperatures.tolist() == pytest.approx([1.999, 2.001, 2.001])


def mtard(**rates: float) -> MTARD:
    return MTARD(conv(0), teacher(1), teacher(2), attack=ATTACK, **rates).double().train()


def bmtard(**rates: float) -> BMTARD:
    return BMTARD(conv(0), teacher(1), teacher(2), attack=ATTACK, **rates).double().train()


def train_step(method: Method, seed: int) -> float:
    x, y = batch(seed=seed, dtype=torch.float64)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.2)
    torch.manual_seed(seed)
    total = method(x, y).total
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return float(total.detach())


def test_without_a_temperature_rate_bmtard_is_mtard() -> None:
    ours, plain, moving = bmtard(temperature_rate=0.0), mtard(), bmtard(temperature_rate=0.1)
    for step in range(6):
        total = train_step(plain, step)
        assert train_step(ours, step) == pytest.approx(total, rel=1e-12)
        torch.testing.assert_close(ours.losses.weights, plain.balance.weights, rtol=1e-12, atol=0)
        other = train_step(moving, step)
    assert plain.balance.weights[0] != 0.5
    assert other != pytest.approx(total, rel=1e-3)


def test_new_temperatures_act_from_the_next_step_and_new_weights_at_once() -> None:
    method = bmtard(temperature_rate=0.5, weight_rate=0.5)
    x, y = batch(dtype=torch.float64)
    first = method.outer(x, nearby(x), y)
    assert [first.terms[f"tau_{k}"].item() for k in ("adv", "nat")] == [1.0, 1.0]
    assert sorted(method.entropies.temperatures.tolist()) == [1.0, 1.5]
    moved = method.entropies.temperatures.tolist()
    second = method.outer(x, nearby(x, seed=2), y)
    assert [second.terms[f"tau_{k}"].item() for k in ("adv", "nat")] == moved
    weights = [second.terms["w_adv"].item(), second.terms["w_nat"].item()]
    assert weights == method.losses.weights.tolist()
    assert weights[0] != 0.5


@pytest.mark.parametrize("build", [mtard, bmtard])
def test_the_adaptive_state_is_a_constant_in_the_gradient(build: type[Method]) -> None:
    method = build()
    for step in range(4):
        train_step(method, step)
    x, y = batch(seed=9, dtype=torch.float64)
    x_adv = nearby(x)
    loss = method.outer(x, x_adv, y)  # type: ignore[operator]
    weights = [loss.terms["w_adv"].item(), loss.terms["w_nat"].item()]
    assert weights[0] != 0.5
    tau = [float(loss.terms.get(f"tau_{k}", torch.ones(()))) for k in ("adv", "nat")]
    parts = []
    for guide, temperature, points in ((teacher(1), tau[0], x_adv), (teacher(2), tau[1], x)):
        target = (guide.double().eval()(points) / temperature).detach().softmax(1)
        log_q = method.student(points).log_softmax(1)
        parts.append((target * (target.log() - log_q)).sum(1).mean())
    expected = gradients(weights[0] * parts[0] + weights[1] * parts[1], method.student)
    torch.testing.assert_close(gradients(loss.total, method.student), expected, rtol=1e-9, atol=1e-12)
    assert not any(buffer.requires_grad for buffer in method.buffers())


@pytest.mark.parametrize("build", [mtard, bmtard])
def test_balances_rest_in_eval_mode(build: type[Method]) -> None:
    method = build()
    for step in range(3):
        train_step(method, step)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.eval()
    x, y = batch(seed=7, dtype=torch.float64)
    method(x, y)
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())
    method.train()
    method(x, y)
    assert any(not torch.equal(before[name], value) for name, value in method.state_dict().items())


def test_the_rates_follow_the_learning_rate() -> None:
    plain, both = mtard(weight_rate=0.5), bmtard(weight_rate=0.5, temperature_rate=0.25)
    for scale in (1.0, 0.1, 0.01):
        plain.begin_epoch(3, scale, 10)
        both.begin_epoch(3, scale, 10)
        assert plain.balance.rate == pytest.approx(0.5 * scale)
        assert (both.losses.rate, both.entropies.rate) == pytest.approx((0.5 * scale, 0.25 * scale))
    still = twin(both)
    x, y = batch(dtype=torch.float64)
    still.begin_epoch(0, 0.0, 10)
    still(x, y)
    assert still.entropies.temperatures.tolist() == [1.0, 1.0]  # type: ignore[union-attr, operator]


def test_several_teachers_on_each_side() -> None:
    robust: list[nn.Module] = [teacher(1), teacher(2)]
    clean: list[nn.Module] = [teacher(3), teacher(4), teacher(5)]
    method = BMTARD(conv(0), robust, clean, attack=ATTACK).double().train()
    for step in range(5):
        train_step(method, step)
    x, y = batch(dtype=torch.float64)
    x_adv = nearby(x)
    loss = method.outer(x, x_adv, y)
    names = ["adv0", "adv1", "nat0", "nat1", "nat2"]
    assert {name for name in loss.terms if "_" not in name} == set(names)
    weights = [loss.terms[f"w_{name}"].item() for name in names]
    assert sum(weights) == pytest.approx(1.0, abs=1e-12)
    assert len(set(weights)) == 5
    expected = sum(w * loss.terms[name].item() for w, name in zip(weights, names, strict=True))
    assert loss.total.item() == pytest.approx(expected)


def test_robust_teachers_see_the_adversarial_images_and_clean_ones_the_others() -> None:
    method = BMTARD(conv(0), [teacher(1), teacher(2)], [teacher(3)], attack=ATTACK).double().eval()
    x, y = batch(dtype=torch.float64)
    x_adv = nearby(x)
    usual, moved = method.outer(x, x_adv, y).terms, method.outer(x_adv, x_adv, y).terms
    assert [(usual[name] == moved[name]).item() for name in ("adv0", "H_adv0", "adv1", "H_adv1")] == [True] * 4
    assert [(usual[name] == moved[name]).item() for name in ("nat0", "H_nat0")] == [False, False]
