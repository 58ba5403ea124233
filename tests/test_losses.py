"""Losses against their loop-written forms, in value and gradient, and where numbers are extreme."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robustill import losses
from robustill.errors import InputError
from tests.reference import losses as reference

Y = torch.tensor([0, 3, 2, 4, 1, 1])


def logits(seed: int, scale: float = 3.0) -> Tensor:
    noise = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (scale * noise).requires_grad_()


def labelled(loss: Callable[[reference.Row, int], Tensor], z: Tensor) -> Tensor:
    return torch.stack([loss(row, int(label)) for row, label in zip(reference.rows(z), Y, strict=True)])


@pytest.mark.parametrize("name", ["cross_entropy", "margin", "dlr", "boosted_cross_entropy"])
def test_losses_with_labels_agree_with_the_loops(name: str) -> None:
    z = logits(1)
    ours, theirs = getattr(losses, name)(z, Y), labelled(getattr(reference, name), z)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)
    (slope,) = torch.autograd.grad((weights * ours).sum(), z)
    (expected,) = torch.autograd.grad((weights * theirs).sum(), z)
    torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("t", [1.0, 4.0, 30.0])
def test_kl_div_is_from_teacher_to_student_with_a_gradient_on_both_sides(t: float) -> None:
    student, teacher = logits(1), logits(2)
    ours = losses.kl_div(student, teacher, temperature=t)
    pairs = zip(reference.rows(teacher), reference.rows(student), strict=True)
    theirs = torch.stack([reference.kl(p, q, t) for p, q in pairs])
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    slopes = torch.autograd.grad(ours.sum(), (student, teacher))
    expected = torch.autograd.grad(theirs.sum(), (student, teacher))
    torch.testing.assert_close(slopes, expected, rtol=1e-9, atol=1e-12)
    assert slopes[1].abs().sum() > 0
    assert not torch.allclose(ours, losses.kl_div(teacher, student, temperature=t), rtol=1e-3)


def test_kl_div_sums_over_classes() -> None:
    student, teacher = logits(1), logits(2)
    elementwise = torch.nn.functional.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="none").mean()
    torch.testing.assert_close(losses.kl_div(student, teacher).mean(), student.shape[1] * elementwise)


def test_entropy_agrees_with_the_loops_and_lies_between_its_bounds() -> None:
    z = logits(3)
    theirs = torch.stack([reference.entropy(row) for row in reference.rows(z)])
    torch.testing.assert_close(losses.entropy(z), theirs, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(losses.entropy(torch.zeros(1, 5)), torch.tensor([math.log(5)]))
    assert losses.entropy(torch.tensor([[200.0, 0.0, 0.0]])).item() == 0.0


def test_mart_agrees_with_the_loops_in_value_and_in_both_gradients() -> None:
    adv, nat = logits(1), logits(2)
    ours = losses.mart(adv, nat, Y, lam=5.0)
    theirs = []
    for a, n, label in zip(reference.rows(adv), reference.rows(nat), Y.tolist(), strict=True):
        weight = 1.0000001 - reference.probabilities(n)[label]
        theirs.append(reference.boosted_cross_entropy(a, label) + 5.0 * reference.kl(n, a) * weight)
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-10, atol=1e-12)
    slopes = torch.autograd.grad(ours.sum(), (adv, nat))
    expected = torch.autograd.grad(torch.stack(theirs).sum(), (adv, nat))
    torch.testing.assert_close(slopes, expected, rtol=1e-9, atol=1e-12)


def test_margin_is_positive_exactly_where_the_prediction_is_wrong() -> None:
    z = logits(4)
    assert torch.equal(losses.margin(z, Y) > 0, z.argmax(1) != Y)


def test_dlr_ignores_shift_and_scale_and_needs_three_classes() -> None:
    z = logits(5).detach()
    torch.testing.assert_close(losses.dlr(7 * z + 11, Y), losses.dlr(z, Y), rtol=1e-9, atol=0)
    assert torch.isfinite(losses.dlr(torch.zeros(6, 5), Y)).all()
    with pytest.raises(InputError, match="at least 3 classes, found 2"):
        losses.dlr(torch.zeros(2, 2), torch.tensor([0, 1]))


@pytest.mark.parametrize("name", ["cross_entropy", "margin", "dlr", "boosted_cross_entropy", "mart", "kl", "entropy"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    half, other = logits(6).detach().to(dtype), logits(7).detach().to(dtype)
    single = _any_loss(name, half.float(), other.float())
    assert torch.equal(_any_loss(name, half, other), single)
    assert single.dtype == torch.float32


@pytest.mark.parametrize("name", ["cross_entropy", "margin", "dlr", "boosted_cross_entropy", "mart", "kl", "entropy"])
def test_extreme_logits_give_finite_values_and_gradients(name: str) -> None:
    z = torch.zeros(2, 5)
    z[0, 0], z[1, 4] = 1e4, -1e4
    z.requires_grad_()
    value = _any_loss(name, z, -z.detach(), torch.tensor([1, 4]))
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert torch.isfinite(value).all()
    assert torch.isfinite(slope).all()


def _any_loss(name: str, z: Tensor, other: Tensor, y: Tensor = Y) -> Tensor:
    if name == "kl":
        return losses.kl_div(z, other)
    if name == "entropy":
        return losses.entropy(z)
    if name == "mart":
        return losses.mart(z, other, y, lam=5.0)
    return getattr(losses, name)(z, y)  # type: ignore[no-any-return]


def test_probabilities_are_those_of_the_loops_at_any_temperature() -> None:
    z = logits(8)
    for t in (1.0, 4.0):
        expected = torch.stack(
            [torch.stack(reference.probabilities([v / t for v in row])) for row in reference.rows(z)]
        )
        torch.testing.assert_close(losses.probabilities(z, temperature=t), expected, rtol=1e-12, atol=0)
    assert losses.probabilities(z.detach().bfloat16()).dtype == torch.float32


def test_soft_cross_entropy_is_linear_in_its_target_and_keeps_its_graph() -> None:
    z, target = logits(1), logits(2).detach().softmax(1).requires_grad_()
    log_q = [[value.log() for value in reference.probabilities(row)] for row in reference.rows(z)]
    theirs = torch.stack(
        [-sum(p * q for p, q in zip(ps, qs, strict=True)) for ps, qs in zip(target, log_q, strict=True)]
    )
    ours = losses.soft_cross_entropy(z, target)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)
    found = torch.autograd.grad(ours.sum(), (z, target), retain_graph=True)
    torch.testing.assert_close(found, torch.autograd.grad(theirs.sum(), (z, target)), rtol=1e-9, atol=1e-12)
    hard = torch.nn.functional.one_hot(Y, 5).double()
    torch.testing.assert_close(losses.soft_cross_entropy(z, hard), losses.cross_entropy(z, Y))
    both = losses.soft_cross_entropy(z, losses.probabilities(logits(2)))
    torch.testing.assert_close(both, losses.kl_div(z, logits(2)) + losses.entropy(logits(2)))


@pytest.mark.parametrize("order", [0.25, 0.5, 2.0, 5.0])
def test_the_entropy_of_an_order_is_renyis(order: float) -> None:
    z = logits(9)
    sums = [sum(p**order for p in reference.probabilities(row)) for row in reference.rows(z)]
    theirs = torch.stack([torch.log(s) / (1 - order) for s in sums])  # type: ignore[arg-type]
    ours = losses.entropy(z, order=order)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    (slope,) = torch.autograd.grad(ours.sum(), z, retain_graph=True)
    torch.testing.assert_close(slope, torch.autograd.grad(theirs.sum(), z)[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(losses.entropy(torch.zeros(1, 5), order=order), torch.tensor([math.log(5)]))
    assert bool((ours < losses.entropy(z)).all()) is (order > 1)


def test_renyis_entropy_tends_to_shannons() -> None:
    z = logits(9).detach()
    gaps = [(losses.entropy(z, order=1 + step) - losses.entropy(z)).abs().max().item() for step in (1e-1, 1e-3, -1e-3)]
    assert gaps[0] > 0.01
    assert max(gaps[1:]) < 1e-3


def test_distances_are_means_over_features_and_angles() -> None:
    a, b = logits(1), logits(2)
    square = torch.stack([sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) / 5 for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(losses.squared_distance(a, b), square, rtol=1e-12, atol=0)
    torch.testing.assert_close(losses.squared_distance(a, b).mean(), torch.nn.functional.mse_loss(a, b))
    dots = torch.stack(
        [(x * y).sum() / (x.square().sum().sqrt() * y.square().sum().sqrt()) for x, y in zip(a, b, strict=True)]
    )
    torch.testing.assert_close(losses.cosine_distance(a, b), 1 - dots, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        losses.cosine_distance(a, 3 * a), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(losses.cosine_distance(a, -a), torch.full((6,), 2.0, dtype=torch.float64))
    for distance in (losses.squared_distance, losses.cosine_distance):
        slopes = torch.autograd.grad(distance(a, b).sum(), (a, b))
        assert all(slope.abs().max() > 0 for slope in slopes)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_the_entropy_of_certainty_is_zero_with_a_finite_gradient(order: float) -> None:
    z = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], requires_grad=True)
    value = losses.entropy(z, order=order)
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert value[0].item() == 0
    assert torch.isfinite(slope).all()


def test_features_of_zero_have_finite_distances_and_gradients() -> None:
    a, b = torch.zeros(2, 4, requires_grad=True), torch.tensor([[0.0] * 4, [1.0, 2.0, 0.0, 0.0]])
    for distance in (losses.squared_distance, losses.cosine_distance):
        value = distance(a, b)
        (slope,) = torch.autograd.grad(value.sum(), a)
        assert torch.isfinite(value).all()
        assert torch.isfinite(slope).all()
    assert losses.cosine_distance(a, b).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["soft_cross_entropy", "squared_distance", "cosine_distance"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_pairs_are_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    a, b = logits(6).detach().to(dtype), logits(7).detach().to(dtype)
    b = b.float().softmax(1).to(dtype) if name == "soft_cross_entropy" else b
    found = getattr(losses, name)(a, b)
    assert found.dtype == torch.float32
    assert torch.equal(found, getattr(losses, name)(a.float(), b.float()))
