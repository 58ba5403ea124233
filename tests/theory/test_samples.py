"""Draws: what is shared between cases, and what is independent."""

import pytest
import torch

from robustill.errors import InputError
from robustill.theory import Settings
from robustill.theory.samples import Purpose, draw_order, draw_samples, draw_start, stream

CONFIG = Settings(train=400, test=50, dimension=20)


def test_the_share_changes_only_who_is_unlearnable() -> None:
    none, some, all_ = (draw_samples(CONFIG, p, 0, Purpose.TRAIN) for p in (0.0, 0.15, 1.0))
    for each in (some, all_):
        assert torch.equal(each.noise, none.noise)
        assert torch.equal(each.y, none.y)
    assert torch.equal(some.signal, none.signal * ~some.unlearnable[:, None])
    assert not none.unlearnable.any()
    assert all_.unlearnable.all()
    assert 30 < some.unlearnable.sum() < 90


def test_samples_of_the_experiment() -> None:
    found = draw_samples(CONFIG, 0.0, 1, Purpose.TRAIN)
    assert (found.signal.abs().sum(1) == 5).all()
    assert ((found.signal != 0).sum(1) == 1).all()
    assert torch.equal(found.signal.sum(1).sign(), found.y)
    assert (found.noise[..., [0, -1]] == 0).all()
    assert (found.noise[..., 1:-1] != 0).all(), "the noise lies on the signal's patch too"
    assert float(found.noise[..., 1:-1].std()) == pytest.approx(0.4, rel=0.02)
    torch.testing.assert_close(found.attacked - found.signal, -0.5 * found.y[:, None].expand(-1, 4))


def test_samples_of_the_theory() -> None:
    config = Settings.of_regime("theory", train=200, test=50, dimension=20)
    train, test = (draw_samples(config, 0.02, 1, purpose) for purpose in (Purpose.TRAIN, Purpose.TEST))
    assert int(train.unlearnable.sum()) == 4
    assert not test.unlearnable.any()
    signal = test.signal != 0
    assert (test.noise[signal] == 0).all()
    assert (test.noise[~signal][:, 1:-1] != 0).all()
    assert torch.equal(test.attacked != test.signal, signal)


def test_purposes_and_seeds_have_streams_of_their_own() -> None:
    first = {(seed, purpose): stream(seed, purpose).random_sample() for seed in (0, 1) for purpose in Purpose}
    assert len(set(first.values())) == len(first)
    more = draw_samples(Settings(train=400, test=80, dimension=20), 0.15, 0, Purpose.TRAIN)
    assert torch.equal(more.noise, draw_samples(CONFIG, 0.15, 0, Purpose.TRAIN).noise)


def test_order_and_start() -> None:
    order, start = draw_order(CONFIG, 0), draw_start(CONFIG, 0)
    assert order.shape == (CONFIG.steps,)
    assert (int(order.min()), int(order.max())) == (0, 399)
    assert torch.equal(draw_order(Settings(train=400, steps=10), 0), order[:10])
    assert start.shape == (50, 4, 20)
    assert 0.49 < float(start.abs().max()) <= 0.5


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**63])
def test_a_seed_is_checked(seed: int) -> None:
    with pytest.raises(InputError, match="seed is"):
        stream(seed, Purpose.TRAIN)
