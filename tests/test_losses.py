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
