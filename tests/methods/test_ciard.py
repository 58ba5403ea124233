"""CIARD: the term that pushes away from mistakes, the robust teacher that goes on learning, and the two balances."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from robustill.losses import cross_entropy, kl_div
from robustill.methods import BMTARD, CIARD
from tests.methods.compare import agree, knowing, reached, scene
from tests.methods.test_oracles import Counted, far
from tests.methods.tiny import ATTACK, CLASSES, conv, conv_bn, gradients, nearby, teacher

Points = tuple[Tensor, Tensor, Tensor]


def networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    return conv(0).double(), teacher(1).double().eval(), teacher(2).double().eval()


def mixed(clean: nn.Module) -> Points:
    """Return a batch on which the clean teacher is wrong at x' in two of six examples."""
    x, x_adv, _ = scene()
    y = clean(x_adv).argmax(1)
    y[:2] = (y[:2] + 1) % CLASSES
    return x, x_adv, y


def released(nets: tuple[nn.Module, nn.Module, nn.Module], points: Points, *, detached: bool = True) -> Tensor:
    """The loss of the first step before the robust teacher learns, without balance: L_adv + L_nat - w L_push."""
    (student, robust, clean), (x, x_adv, y) = nets, points
    adv = kl_div(student(x_adv), robust(x_adv).detach()).mean()
    nat = kl_div(student(x), clean(x).detach()).mean()
    wrong = clean(x_adv).argmax(1) != y
    push = kl_div(student(x_adv)[wrong] / 5, clean(x_adv)[wrong].detach()).mean()
    floors = [math.floor(math.log10(value.item())) for value in (adv, nat, push)]
    weight = 10.0 ** (min(floors[:2]) - floors[2])
    if not detached:
        weight = weight * (push / push.detach())
    return adv + nat - weight * push


def test_without_balance_it_is_the_released_loss() -> None:
    nets = networks()
    points = mixed(nets[2])
    method = CIARD(*nets, balance=False).double().train()
    loss = method.outer(*points)
    agree(loss, released(nets, points), nets[0])
    assert (loss.terms["w_adv"].item(), loss.terms["w_nat"].item()) == (1.0, 1.0)
    expected = released(nets, points)
    assert far(gradients(expected, nets[0]), gradients(released(nets, points, detached=False), nets[0]))


def test_the_weight_of_the_push_is_a_power_of_ten_that_follows_the_smaller_loss() -> None:
    student, robust, _ = networks()
    x, x_adv, y = scene()
    for scale in (1.0, 30.0, 1000.0):
        terms = CIARD(student, robust, knowing(1, scale).double()).outer(x, x_adv, y).terms
        sizes = [math.floor(math.log10(terms[name].item())) for name in ("adv", "nat", "push")]
        assert terms["w_push"].item() == pytest.approx(10.0 ** (min(sizes[:2]) - sizes[2]), rel=1e-12)
        assert sizes[2] > sizes[0]


def test_a_clean_teacher_without_mistakes_pushes_exactly_nothing() -> None:
    student, robust, _ = networks()
    x, x_adv, y = scene()
    clean = knowing().double()
    method, plain = CIARD(student, robust, clean).double().train(), BMTARD(student, robust, clean).double().train()
    loss, usual = method.outer(x, x_adv, y), plain.outer(x, x_adv, y)
    assert (loss.terms["push"].item(), loss.terms["w_push"].item()) == (0.0, 0.0)
    assert loss.total.item() == usual.total.item()
    torch.testing.assert_close(gradients(loss.total, student), gradients(usual.total, student), rtol=0, atol=0)


def test_without_mistakes_and_before_its_teacher_learns_it_follows_bmtard_step_by_step() -> None:
    student, robust, _ = networks()
    rates = {"weight_rate": 0.5, "temperature_rate": 0.1}
    methods = [
        cls(copy.deepcopy(student), copy.deepcopy(robust), knowing().double(), **rates).double().train()
        for cls in (CIARD, BMTARD)
    ]
    for step in range(6):
        totals = []
        for method in methods:
            method.begin_epoch(step // 3, 0.1 ** (step // 3), 10)
            optimizer = torch.optim.SGD(method.student.parameters(), lr=0.2)
            x, _, y = scene()
            loss = method.outer(x, nearby(x, seed=step), y)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
            totals.append(
                [loss.total.item(), *(loss.terms[f"{k}_{n}"].item() for k in ("w", "tau") for n in ("adv", "nat"))]
            )
        assert totals[0] == totals[1]
    assert totals[0][1] != 0.5
    assert totals[0][3:] != [1.0, 1.0]


def test_the_balance_can_be_switched_off_but_goes_on_counting() -> None:
    nets = networks()
    method = CIARD(*nets, balance=False, weight_rate=0.5).double().train()
    for seed in range(4):
        x, _, y = mixed(nets[2])
        terms = method.outer(x, nearby(x, seed=seed), y).terms
        assert (terms["w_adv"].item(), terms["w_nat"].item()) == (1.0, 1.0)
    balanced = CIARD(*nets, weight_rate=0.5).double().train()
    for seed in range(4):
        terms = balanced.outer(x, nearby(x, seed=seed), y).terms
    assert terms["w_adv"] + terms["w_nat"] == pytest.approx(1.0)
    assert terms["w_adv"] != 0.5


def bn_teacher() -> CIARD:
    return CIARD(conv_bn(0), conv_bn(1), conv_bn(2), begin=2, attack=ATTACK).double()


def test_the_robust_teacher_is_in_train_mode_only_once_it_learns() -> None:
    method = bn_teacher().train()
    x, _, y = scene()
    for epoch, learns in ((0, False), (1, False), (2, True), (9, True), (0, False)):
        method.begin_epoch(epoch, 1.0, 10)
        before = copy.deepcopy(method.teacher_adv.state_dict())
        method(x, y)
        assert method.student.training
        assert method.teacher_adv.training is learns
        assert not method.teacher_nat.network.training
        moved = method.teacher_adv.state_dict()["1.num_batches_tracked"] - before["1.num_batches_tracked"]
        assert moved == int(learns), "one forward on x', and none of the attack's"
        method.eval()
        assert not method.teacher_adv.training
        method.train()
        assert method.teacher_adv.training is learns
    assert CIARD(conv_bn(0), conv_bn(1), conv_bn(2), begin=0).train().teacher_adv.training
    assert not CIARD(conv_bn(0), conv_bn(1).train(), conv_bn(2)).train().teacher_adv.training


def test_an_epoch_that_begins_in_eval_mode_stays_in_it() -> None:
    method = bn_teacher().eval()
    method.begin_epoch(5, 1.0, 10)
    assert not any(module.training for module in method.modules())


def test_the_robust_teacher_learns_the_labels_at_the_students_adversarial_images() -> None:
    student, robust, clean = networks()
    points = mixed(clean)
    x_adv, y = points[1:]
    method = CIARD(student, robust, clean, begin=50).double().train()
    method.begin_epoch(49, 1.0, 300)
    before = method.outer(*points)
    assert not reached(robust, before.total)
    assert "teacher" not in before.terms
    method = CIARD(student, robust, clean, begin=50).double().train()
    method.begin_epoch(50, 1.0, 300)
    method.teacher_adv.eval()
    loss = method.outer(*points)
    agree(loss.total - before.total.detach(), cross_entropy(robust(x_adv), y).mean(), robust)
    # The student is not moved by the teacher's lesson, nor the teacher by the student's.
    torch.testing.assert_close(gradients(loss.total, student), gradients(before.total, student), rtol=0, atol=0)


def test_the_soft_label_of_a_learning_teacher_is_that_of_its_train_mode() -> None:
    student, robust, clean = conv(0).double(), conv_bn(1).double(), knowing().double()
    x, x_adv, y = scene()
    method = CIARD(student, robust, clean, begin=0, balance=False).train()
    in_train = copy.deepcopy(robust).train()(x_adv).detach()
    assert not torch.allclose(in_train, copy.deepcopy(robust).eval()(x_adv), rtol=1e-2)
    adv = method.outer(x, x_adv, y).terms["adv"]
    assert adv.item() == pytest.approx(kl_div(student(x_adv), in_train).mean().item(), rel=1e-6)


def test_both_networks_are_trained_and_saved_and_the_clean_teacher_is_not() -> None:
    method = bn_teacher()
    assert set(method.trained()) == {"student", "teacher_adv"}
    keys = set(method.state_dict())
    assert {"teacher_adv.0.weight", "losses.weights", "losses.first", "entropies.temperatures"} <= keys
    assert not any(key.startswith("teacher_nat") for key in keys)


def test_the_rates_decay_once_with_the_schedule_however_many_steps_follow() -> None:
    nets = networks()
    method = CIARD(*nets, weight_rate=0.5, temperature_rate=0.25).double().train()
    for epoch, scale in ((0, 1.0), (215, 0.1), (215, 0.1), (260, 0.01)):
        method.begin_epoch(epoch, scale, 300)
        for _ in range(3):
            method.outer(*mixed(nets[2]))
            assert method.losses.rate == pytest.approx(0.5 * scale)
            assert method.entropies.rate == pytest.approx(0.25 * scale)


def test_the_adversary_maximises_the_cross_entropy_and_asks_no_teacher() -> None:
    student, robust, clean = networks()
    asked = Counted(robust), Counted(clean)
    x, x_adv, y = scene()
    method = CIARD(student, *asked, attack=ATTACK).double().train()
    torch.testing.assert_close(method.inner(x, y)(x_adv), cross_entropy(student(x_adv), y))
    method.perturb(x, y)
    assert [network.calls for network in asked] == [0, 0]
