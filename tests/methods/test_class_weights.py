"""Fair-ARD: what is counted during the attack, what an epoch's counts leave behind, and when it acts."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD, eval_mode
from robustill.errors import ModelError
from robustill.losses import cross_entropy
from robustill.methods import ABSLD, ARD, IAD, MTARD, PGDAT, RSLAD, TRADES, FairARD
from robustill.methods.base import AdversarialMethod
from robustill.training.awp import AWP
from tests.methods.compare import agree, knowing, scene
from tests.methods.tiny import ATTACK, batch, conv, conv_bn, linear, teacher

# Deterministic, so that its iterates are those of shorter runs.
STEADY = PGD(eps=0.3, step_size=0.06, steps=5, init="none")

BASES: dict[str, Callable[[nn.Module, nn.Module, nn.Module], AdversarialMethod]] = {
    "ard": lambda s, t, n: ARD(s, t, alpha=0.7, attack=STEADY),
    "rslad": lambda s, t, n: RSLAD(s, t, attack=STEADY),
    "iad": lambda s, t, n: IAD(s, t, begin=0, attack=STEADY),
    "mtard": lambda s, t, n: MTARD(s, t, n, attack=STEADY),
    "trades": lambda s, t, n: TRADES(s, attack=STEADY),
    "pgd_at": lambda s, t, n: PGDAT(s, attack=STEADY),
}


def base(name: str, student: nn.Module) -> AdversarialMethod:
    return BASES[name](student, teacher(1).double(), teacher(2).double())


def fair(attack: PGD = STEADY, **settings: float) -> FairARD:
    return FairARD(PGDAT(knowing(), attack=attack), **settings).train()


def weights_after(survived: list[float], count: list[float], **settings: float) -> Tensor:
    """Return the weights that an epoch with these sums leaves."""
    student = linear(0, len(count))
    method = FairARD(PGDAT(student), **settings).double().train()
    method.survived.copy_(torch.tensor(survived))
    method.count.copy_(torch.tensor(count))
    method.end_epoch()
    return method.weights


@pytest.mark.parametrize("name", BASES)
def test_fair_ard_begins_as_its_base_and_then_weighs_each_example_by_its_class(name: str) -> None:
    student = conv(0).double()
    x, x_adv, y = scene()
    plain, method = base(name, student).double().train(), FairARD(base(name, student)).double().train()
    agree(method.outer(x, x_adv, y), plain.outer(x, x_adv, y), student)
    weights = torch.tensor([0.9, 1.7, 2.5], dtype=torch.float64)
    method.weights.copy_(weights)
    loss = method.outer(x, x_adv, y)
    agree(loss, (weights[y] * plain.outer(x, x_adv, y).per_example).mean(), student)
    assert loss.terms["lowest"].item() == pytest.approx(0.9)


def test_the_weights_of_a_balanced_loss_do_not_reach_its_balance() -> None:
    x, x_adv, y = scene()
    plain, method = base("mtard", conv(0)).double().train(), FairARD(base("mtard", conv(0))).double().train()
    method.weights.copy_(torch.tensor([0.9, 1.7, 2.5]))
    for _ in range(3):
        plain.outer(x, x_adv, y)
        method.outer(x, x_adv, y)
    assert all(torch.equal(value, method.base.state_dict()[key]) for key, value in plain.state_dict().items())


@pytest.mark.parametrize(
    ("survived", "count"),
    [([30.0, 30.0, 30.0], [10.0, 10.0, 10.0]), ([3.0, 30.0, 300.0], [1.0, 10.0, 100.0]), ([0.0, 0.0], [5.0, 7.0])],
    ids=["balanced", "unbalanced", "all fall at once"],
)
def test_equal_classes_weigh_exactly_one(survived: list[float], count: list[float]) -> None:
    assert weights_after(survived, count).tolist() == [1.0] * len(count)


def test_the_weights_are_the_numbers_of_the_rule() -> None:
    kappa = torch.tensor([9.0, 10.0, 10.5], dtype=torch.float64)
    count = torch.tensor([7.0, 2.0, 4.0], dtype=torch.float64)
    raw = (1 / (kappa + 1e-5)) ** 2
    found = weights_after((kappa * count).tolist(), count.tolist())
    torch.testing.assert_close(found, raw * 3 / raw.sum(), rtol=1e-9, atol=0)
    assert found.sum().item() == pytest.approx(3.0)
    assert found[0] > found[1] > found[2] > 5 / 6
    raw = 1 / (kappa + 1e-5)
    found = weights_after((kappa * count).tolist(), count.tolist(), beta=1.0)
    torch.testing.assert_close(found, raw * 3 / raw.sum(), rtol=1e-9, atol=0)


def test_the_weights_are_clipped_after_they_are_rescaled_and_not_rescaled_again() -> None:
    assert weights_after([10.0, 1.0, 10.0], [1.0] * 3).tolist() == pytest.approx([5 / 6, 5 / 2, 5 / 6])
    assert weights_after([0.0, 10.0, 10.0, 0.0], [1.0] * 4).tolist() == pytest.approx(
        [2.0, 5 / 6, 5 / 6, 2.0], rel=1e-6
    )
    assert weights_after([0.0, 10.0, 10.0], [1.0] * 3, low=0.1, high=2.0).tolist() == pytest.approx([2.0, 0.1, 0.1])
    assert weights_after([0.0, 10.0, 10.0], [1.0] * 3).tolist() == pytest.approx([5 / 2, 5 / 6, 5 / 6])


def test_a_class_that_was_never_seen_counts_as_the_mean_of_the_others() -> None:
    assert (
        weights_after([27.0, 30.0, 0.0, 33.0], [3.0, 3.0, 0.0, 3.0])[2]
        == weights_after([27.0, 30.0, 30.0, 33.0], [3.0] * 4)[2]
    )
    method = fair()
    method.weights.copy_(torch.tensor([0.9, 1.0, 1.1]))
    method.end_epoch()
    assert method.weights.tolist() == pytest.approx([0.9, 1.0, 1.1]), "an epoch without examples says nothing"


def iterates_still_right(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Count by hand: the k-th iterate is the result of an attack of k steps."""
    right = torch.zeros(len(y))
    for steps in range(STEADY.steps):
        shorter = PGD(eps=STEADY.eps, step_size=STEADY.step_size, steps=steps, init="none")
        with eval_mode(network):
            points = shorter(lambda p: cross_entropy(network(p), y), x)
            right += (network(points).argmax(1) == y).float()
    return right


def per_class(values: Tensor, y: Tensor) -> list[float]:
    return [float(values[y == k].sum()) for k in range(3)]


@pytest.mark.parametrize("build", [conv_bn, linear, lambda seed: knowing()])
def test_each_iterate_before_its_step_is_counted_once(build: Callable[[int], nn.Module]) -> None:
    network = build(0)
    x, y = batch(30)
    expected = iterates_still_right(network, x, y)
    assert expected.unique().numel() > 1
    method = FairARD(PGDAT(network, attack=STEADY)).train()
    method(x, y)
    assert method.survived.tolist() == per_class(expected, y)
    assert method.count.tolist() == per_class(torch.ones(30), y)


def test_the_forwards_of_a_teacher_or_a_fixed_target_are_not_counted() -> None:
    x, y = batch(30)
    for name in BASES:
        method = FairARD(base(name, knowing())).float().train()
        points = method.perturb(x, y)
        method.outer(x, points, y)
        assert method.survived.max() <= STEADY.steps * method.count.max()
        assert method.survived.sum() >= method.count.sum(), "the first iterate is x, which this student knows"


def test_the_comparison_of_restarts_is_not_counted() -> None:
    x, y = batch(30)
    once, twice = fair(), fair(PGD(eps=0.3, step_size=0.06, steps=5, init="none", restarts=3))
    once(x, y)
    twice(x, y)
    assert twice.survived.tolist() == [3 * value for value in once.survived.tolist()]
    assert twice.count.tolist() == once.count.tolist()


def test_counts_wait_for_the_loss_and_for_train_mode() -> None:
    x, y = batch(30)
    method = fair()
    points = method.perturb(x, y)
    assert method.survived.sum() == method.count.sum() == 0
    method.outer(x, points.clone(), y)
    assert method.count.sum() == 0, "points of somebody else's"
    method.eval()
    method.outer(x, points, y)
    method(x, y)
    assert method.survived.sum() == method.count.sum() == 0
    method.train()
    method(x, y)
    assert method.count.sum() == 30
    method(*batch(10, seed=1))
    assert method.count.sum() == 40


def test_the_weights_move_at_the_end_of_an_epoch_and_the_counts_start_again() -> None:
    method = fair()
    x, y = batch(30)
    for _ in range(3):
        method(x, y)
        assert method.weights.tolist() == [1.0, 1.0, 1.0]
    method.survived[0] = 0
    method.end_epoch()
    moved = method.weights.clone()
    assert moved[0] == 5 / 2
    assert method.survived.sum() == method.count.sum() == 0
    method.begin_epoch(1, 1.0, 5)
    assert torch.equal(method.weights, moved)


def test_counting_changes_neither_the_points_nor_batch_norm() -> None:
    student = conv_bn(0)
    x, y = batch()
    plain, method = (
        ARD(student, teacher(1), attack=ATTACK).train(),
        FairARD(ARD(student, teacher(1), attack=ATTACK)).train(),
    )
    before = copy.deepcopy(student.state_dict())
    torch.manual_seed(4)
    expected = plain.perturb(x, y)
    torch.manual_seed(4)
    assert torch.equal(method.perturb(x, y), expected)
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


def test_weight_perturbation_counts_once() -> None:
    x, y = batch(30)
    plain, wrapped = fair(), AWP(fair(), gamma=0.02)
    for _ in range(2):
        plain(x, y)
        wrapped(x, y)
        wrapped.after_step()
    inside = wrapped.base
    assert isinstance(inside, FairARD)
    assert inside.count.tolist() == plain.count.tolist()
    torch.testing.assert_close(inside.survived, plain.survived, rtol=0, atol=1)


def test_half_an_epoch_survives_a_checkpoint() -> None:
    straight = fair()
    straight(*batch(20))
    resumed = fair()
    resumed.load_state_dict(straight.state_dict())
    for method in (straight, resumed):
        method(*batch(20, seed=1))
        method.end_epoch()
    assert straight.weights.tolist() == resumed.weights.tolist() != [1.0, 1.0, 1.0]


def test_the_wrapped_methods_epochs_are_kept() -> None:
    method = FairARD(ABSLD(knowing(), teacher(1), attack=STEADY)).train()
    inside = method.base
    assert isinstance(inside, ABSLD)
    method.begin_epoch(0, 0.5, 3)
    assert inside.decay == 0.5
    method(*batch(30))
    method.end_epoch()
    assert inside.temperatures.tolist() != [[1.0] * 3] * 2


def test_a_student_that_hides_its_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="no linear layer"):
        FairARD(PGDAT(nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten())))
