from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from robustill.data.order import Purpose, epoch_order, random_stream
from robustill.errors import InputError


def test_an_order_is_a_permutation_that_depends_on_seed_and_epoch():
    orders = {(s, e): epoch_order(50, s, e) for s in range(3) for e in range(3)}
    for order in orders.values():
        assert order.dtype == torch.int64
        assert sorted(order.tolist()) == list(range(50))
    # Seed 1 of epoch 0 differs from seed 0 of epoch 1: the two are mixed, not added.
    assert len({tuple(order.tolist()) for order in orders.values()}) == 9


def test_an_order_is_the_same_tomorrow():
    # Written down once: a change would silently change every run that is resumed.
    assert epoch_order(8, seed=3, epoch=2).tolist() == [6, 5, 3, 4, 7, 0, 1, 2]


def test_global_generators_are_neither_read_nor_changed():
    first = epoch_order(20, 0, 0)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    assert torch.equal(first, epoch_order(20, 0, 0))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_purposes_have_streams_of_their_own():
    draws = {purpose: tuple(random_stream(0, purpose, 1).randint(0, 2**31, 4)) for purpose in Purpose}
    assert len(set(draws.values())) == len(Purpose)


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**63, None])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(InputError, match="seed is"):
        random_stream(seed, Purpose.ORDER)
