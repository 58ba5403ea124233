from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustill.data.order import Purpose
from robustill.data.stratify import held_out_count, stratified
from robustill.errors import InputError


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=80), st.data())
def test_a_split_is_disjoint_complete_proportional_and_reproducible(classes, draw):
    labels = torch.tensor(classes)
    count = draw.draw(st.integers(0, len(classes) - 1))
    rest, held = stratified(labels, count, 7, Purpose.VALIDATION)
    assert len(held) == count
    assert sorted(rest.tolist() + held.tolist()) == list(range(len(classes)))
    assert rest.tolist() == sorted(rest.tolist())
    assert held.tolist() == sorted(held.tolist())
    for label in set(classes):
        exact = classes.count(label) * count / len(classes)
        assert abs(int((labels[held] == label).sum()) - exact) <= 1
    again = stratified(labels, count, 7, Purpose.VALIDATION)
    assert torch.equal(again[1], held)


def test_another_seed_holds_out_other_images():
    labels = torch.arange(100) % 5
    held = [stratified(labels, 20, seed, Purpose.VALIDATION)[1].tolist() for seed in range(4)]
    assert len({tuple(rows) for rows in held}) == 4


def test_a_class_keeps_its_last_image_while_others_can_give():
    # Of the exact shares 8.18 and 0.82 the second would be rounded up.
    labels = torch.tensor([0] * 10 + [1])
    rest, held = stratified(labels, 9, 0, Purpose.VALIDATION)
    assert labels[rest].tolist() == [0, 1]
    assert labels[held].tolist() == [0] * 9


def test_the_largest_remainder_is_rounded_up():
    labels = torch.tensor([0] * 13 + [1] * 7)
    held = stratified(labels, 5, 0, Purpose.VALIDATION)[1]  # exact: 3.25 and 1.75
    assert torch.bincount(labels[held]).tolist() == [3, 2]


@pytest.mark.parametrize(
    ("share", "n", "count"), [(0, 10, 0), (0.0, 10, 0), (0.1, 10, 1), (0.01, 10, 1), (0.25, 10, 2), (9, 10, 9)]
)
def test_a_share_or_a_number(share, n, count):
    assert held_out_count(share, n) == count


@pytest.mark.parametrize("share", [-0.1, -1, 1.0, 2.5, 10, float("nan"), True, "0.1", None])
def test_a_bad_share_is_refused(share):
    with pytest.raises(InputError, match="validation"):
        held_out_count(share, 10)
