"""ABSLD: which temperature acts where, and how an epoch's class risks move them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robustill.losses import cross_entropy, kl_div
from robustill.methods import ABSLD, RSLAD
from robustill.training.awp import AWP
from tests.methods.compare import agree, scene
from tests.methods.tiny import ATTACK, batch, conv, linear, teacher

TEMPERATURES = torch.tensor([[0.5, 2.0, 3.0], [4.0, 1.0, 0.7]], dtype=torch.float64)


def absld(student: nn.Module | None = None, **settings: float) -> ABSLD:
    student = conv(0) if student is None else student
    return ABSLD(student, teacher(1), attack=ATTACK, **settings).double().train()


def after_epoch(risks: list[list[float]], count: list[float], method: ABSLD | None = None) -> Tensor:
    """Return the temperatures after an epoch with these mean risks `[2][C]` and counts."""
    method = absld(linear(0, len(count))) if method is None else method
    method.count.copy_(torch.tensor(count))
    method.risks.copy_(torch.tensor(risks, dtype=torch.float64) * method.count)
    method.end_epoch()
    return method.temperatures


def test_it_begins_as_rslad_in_the_attack_and_in_the_loss() -> None:
    method = absld()
    plain = RSLAD(method.student, teacher(1)).double().train()
    x, x_adv, y = scene()
    torch.testing.assert_close(method.inner(x, y)(x_adv), plain.inner(x, y)(x_adv), rtol=0, atol=0)
    agree(method.outer(x, x_adv, y), plain.outer(x, x_adv, y), method.student)


def test_each_temperature_acts_on_its_own_term_and_on_the_teacher_alone() -> None:
    method = absld(alpha=0.8)
    method.temperatures.copy_(TEMPERATURES)
    x, x_adv, y = scene()
    guide = teacher(1).double().eval()
    targets = [(guide(x) / TEMPERATURES[row][y][:, None]).detach() for row in range(2)]
    adv, nat = kl_div(method.student(x_adv), targets[0]), kl_div(method.student(x), targets[1])
    torch.testing.assert_close(method.inner(x, y)(x_adv), adv)
    agree(method.outer(x, x_adv, y), (0.8 * adv + 0.2 * nat).mean(), method.student)


def test_risks_are_the_cross_entropies_of_each_class_in_train_mode() -> None:
    method = absld()
    x, x_adv, y = scene()
    for _ in range(2):
        method.outer(x, x_adv, y)
    for row, points in enumerate((x_adv, x)):
        value = cross_entropy(method.student(points), y).detach()
        expected = torch.stack([2 * value[y == k].sum() for k in range(3)])
        torch.testing.assert_close(method.risks[row], expected)
    assert method.count.tolist() == [2 * int((y == k).sum()) for k in range(3)]
    assert not method.risks.requires_grad
    method.eval()
    method(x, y)
    assert method.count.sum() == 2 * len(y)
    assert method.temperatures.tolist() == [[1.0] * 3] * 2, "an epoch's risks act in the next"


def test_harder_classes_get_sharper_labels_and_the_farthest_moves_by_the_rate() -> None:
    found = after_epoch([[1.0, 2.0, 6.0], [0.3, 0.2, 0.1]], [10.0, 10.0, 10.0])
    expected = torch.tensor([[1 + 0.1 * 2 / 3, 1 + 0.1 / 3, 0.9], [0.9, 1.0, 1.1]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_class_risks_are_means_so_that_a_frequent_class_is_not_a_hard_one() -> None:
    risks = [[1.0, 2.0, 6.0], [0.3, 0.2, 0.1]]
    torch.testing.assert_close(after_epoch(risks, [100.0, 3.0, 1.0]), after_epoch(risks, [5.0, 5.0, 5.0]))


@pytest.mark.parametrize("risk", [0.7, 0.0, 0.1 + 0.2])
def test_equal_risks_change_nothing(risk: float) -> None:
    assert after_epoch([[risk] * 3, [2 * risk] * 3], [7.0, 3.0, 11.0]).tolist() == [[1.0] * 3] * 2


def test_one_row_of_equal_risks_does_not_hold_the_other() -> None:
    found = after_epoch([[0.5] * 3, [0.1, 0.2, 0.3]], [1.0] * 3)
    assert found[0].tolist() == [1.0] * 3
    assert found[1].tolist() == pytest.approx([1.1, 1.0, 0.9])


def test_temperatures_stop_at_their_bounds() -> None:
    method = absld()
    seen = []
    for _ in range(60):
        after_epoch([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], [4.0] * 3, method)
        seen.append(method.temperatures.clone())
    assert seen[3][0].tolist() == pytest.approx([1.4, 1.0, 0.6])
    assert seen[-1].tolist() == [[5.0, 1.0, 0.5], [0.5, 1.0, 5.0]]
    narrow = absld(low=0.95, high=1.05)
    after_epoch([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], [4.0] * 3, narrow)
    assert narrow.temperatures.flatten().tolist() == pytest.approx([1.05, 1.0, 0.95, 0.95, 1.0, 1.05])


def test_a_class_without_examples_keeps_its_temperatures_and_weighs_on_no_other() -> None:
    found = after_epoch([[1.0, 0.0, 2.0, 6.0], [0.3, 0.0, 0.2, 0.1]], [10.0, 0.0, 10.0, 10.0])
    full = after_epoch([[1.0, 2.0, 6.0], [0.3, 0.2, 0.1]], [10.0, 10.0, 10.0])
    assert found[:, 1].tolist() == [1.0, 1.0]
    torch.testing.assert_close(found[:, [0, 2, 3]], full)
    assert after_epoch([[0.0] * 3] * 2, [0.0] * 3).tolist() == [[1.0] * 3] * 2
    assert after_epoch([[0.0, 3.0, 0.0]] * 2, [0.0, 4.0, 0.0]).tolist() == [[1.0] * 3] * 2


def test_the_rate_follows_the_learning_rate_and_epochs_start_from_nothing() -> None:
    method = absld(rate=0.2)
    for epoch, scale in ((0, 1.0), (215, 0.1), (215, 0.1)):
        before = method.temperatures[0, 2].item()
        method.begin_epoch(epoch, scale, 300)
        after_epoch([[0.0, 1.0, 2.0]] * 2, [4.0] * 3, method)
        assert before - method.temperatures[0, 2].item() == pytest.approx(0.2 * scale)
        assert method.risks.abs().sum() == method.count.sum() == 0
    moved = method.temperatures.clone()
    method.end_epoch()
    assert torch.equal(method.temperatures, moved)


def test_weight_perturbation_notes_the_risks_once() -> None:
    wrapped = AWP(absld(), gamma=0.02)
    x, y = batch(12, dtype=torch.float64)
    wrapped(x, y)
    assert wrapped.base.get_buffer("count").sum() == 12
