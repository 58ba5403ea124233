"""What the papers and their released code fix about single-teacher methods: detached or not, asked once or twice."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import gradient
from robustill.losses import cross_entropy, kl_div, mart
from robustill.methods import ARD, KD, MART, METHODS, RSLAD, TRADES, AdaAD
from robustill.recipe import load_recipe
from tests.methods.tiny import ATTACK, batch, conv, conv_bn, gradients, linear, nearby, teacher


class Counted(nn.Module):
    """A network that counts its calls."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.network(x)  # type: ignore[no-any-return]


class Recorded(Counted):
    """A network that keeps what it returned."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.outputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.outputs.append(super().forward(x))
        return self.outputs[-1]


def far(ours: list[Tensor], others: list[Tensor]) -> bool:
    """Return whether two gradients differ by more than a hundredth of their length."""
    a, b = (torch.cat([g.flatten() for g in found]) for found in (ours, others))
    return bool((a - b).norm() > 0.01 * a.norm())


def test_trades_pulls_the_clean_prediction_as_well() -> None:
    student = conv(0).double()
    x, y = batch(dtype=torch.float64)
    x_adv = nearby(x)
    ours = gradients(TRADES(student).outer(x, x_adv, y).total, student)
    clean, attacked = student(x), student(x_adv)
    whole = cross_entropy(clean, y).mean() + 6 * kl_div(attacked, clean).mean()
    cut = cross_entropy(clean, y).mean() + 6 * kl_div(attacked, clean.detach()).mean()
    assert whole.item() == cut.item()
    torch.testing.assert_close(ours, gradients(whole, student))
    assert far(ours, gradients(cut, student))


def test_trades_attacks_a_fixed_clean_prediction() -> None:
    student = conv(0)
    x, y = batch()
    objective = TRADES(student).inner(x, y)
    assert torch.equal(objective(x), torch.zeros(len(x)))
    assert gradient(objective, x).abs().max() < 1e-6
    assert objective(nearby(x)).min() > 0


def test_mart_leaves_a_sure_and_right_example_to_the_boosted_term() -> None:
    y = torch.tensor([1, 1])
    sure = torch.tensor([[0.0, 60.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    adv = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    extra = mart(adv, sure, y, lam=5.0) - mart(adv, sure, y, lam=0.0)
    divergence = kl_div(adv, sure)
    assert divergence[0] > 1
    assert extra[0].item() == pytest.approx(5 * 1e-7 * divergence[0].item(), rel=1e-3)
    assert extra[1].item() == pytest.approx(5 * (2 / 3) * divergence[1].item(), rel=1e-6)


def test_mart_sends_a_gradient_through_its_weight_and_its_target() -> None:
    student = Recorded(conv(0).double())
    x, y = batch(dtype=torch.float64)
    total = MART(student).outer(x, 1 - x, y).total
    clean, attacked = student.outputs
    (ours,) = torch.autograd.grad(total, clean, retain_graph=True)
    for weighted, target in ((clean, clean.detach()), (clean.detach(), clean)):
        weight = 1.0000001 - weighted.softmax(1)[torch.arange(len(y)), y]
        cut = mart(attacked, clean, y, lam=0.0) + 5 * kl_div(attacked, target) * weight
        assert cut.mean().item() == pytest.approx(total.item())
        assert far([ours], list(torch.autograd.grad(cut.mean(), clean, retain_graph=True)))


@pytest.mark.parametrize(("alpha", "silent"), [(1.0, True), (0.5, False)])
def test_ard_with_alpha_one_sends_nothing_through_the_clean_prediction(alpha: float, silent: bool) -> None:
    student = Recorded(conv(0).double())
    x, y = batch(dtype=torch.float64)
    total = ARD(student, teacher(1).double(), alpha=alpha).outer(x, nearby(x), y).total
    attacked, clean = torch.autograd.grad(total, student.outputs)
    assert attacked.abs().max() > 0
    assert (clean.abs().max().item() == 0) is silent


def test_rslad_asks_its_teacher_once_per_batch() -> None:
    counted = Counted(teacher(1))
    method = RSLAD(conv_bn(0), counted, attack=ATTACK).train()
    for steps in range(1, 4):
        x, y = batch(seed=steps)
        method(x, y).total.backward()
        assert counted.calls == steps


@pytest.mark.parametrize("name", ["kd", "ard", "rslad", "adaad"])
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    network = teacher(1)
    for weight in network.parameters():
        weight.requires_grad_(True)
    before = copy.deepcopy(network.state_dict())
    method = METHODS[name](conv(0), network, alpha=0.5)
    x, y = batch()
    method(x, y).total.backward()
    assert all(w.grad is None and not w.requires_grad for w in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in method.student.parameters())


def test_adaad_attacks_through_its_teacher() -> None:
    student, guide = conv(0).double(), teacher(1).double()
    x, y = batch(dtype=torch.float64)
    x_adv = nearby(x)
    ours = gradient(AdaAD(student, guide).inner(x, y), x_adv)
    whole = gradient(lambda p: kl_div(student(p), guide(p)), x_adv)
    cut = gradient(lambda p: kl_div(student(p), guide(p).detach()), x_adv)
    torch.testing.assert_close(ours, whole)
    assert far([ours], [cut])
    assert all(w.grad is None for w in guide.parameters())


def test_rslad_attacks_the_teachers_clean_prediction() -> None:
    student, guide = conv(0).double(), teacher(1).double()
    x, y = batch(dtype=torch.float64)
    x_adv = nearby(x)
    objective = RSLAD(student, guide).eval().inner(x, y)
    torch.testing.assert_close(objective(x_adv), kl_div(student(x_adv), guide(x)))
    assert not torch.allclose(objective(x_adv), kl_div(student(x_adv), guide(x_adv)), rtol=1e-3)


@pytest.mark.parametrize(("data", "classes", "factor"), [("cifar10", 10, 1), ("cifar100", 100, 10)])
def test_the_loss_scale_is_the_released_mean_over_classes_times_its_factor(
    data: str, classes: int, factor: int
) -> None:
    scale = load_recipe(f"{data}_rslad_resnet18").training.loss_scale
    student, guide = linear(0, classes=classes).double(), linear(1, classes=classes).double()
    x, y = batch(dtype=torch.float64)
    x_adv = nearby(x)
    target = guide(x).softmax(1)
    parts = [nn.functional.kl_div(student(p).log_softmax(1), target, reduction="none").mean() for p in (x_adv, x)]
    elementwise = factor * (5 / 6 * parts[0] + 1 / 6 * parts[1])
    ours = RSLAD(student, guide).outer(x, x_adv, y).total
    assert scale * ours.item() == pytest.approx(elementwise.item(), rel=1e-12)
    torch.testing.assert_close(gradients(scale * ours, student), gradients(elementwise, student))


def test_kd_scales_its_soft_term_by_the_squared_temperature() -> None:
    student, guide = conv(0).double(), teacher(1).double()
    x, y = batch(dtype=torch.float64)
    terms = KD(student, guide, temperature=8.0)(x, y).terms
    assert terms["soft"].item() == pytest.approx(64 * kl_div(student(x), guide(x), temperature=8.0).mean().item())
