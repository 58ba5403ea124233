"""Weighted means and their intervals."""

from typing import Any

import pytest
import torch

from robustill.diagnostics.ranking.bootstrap import middle, resampled_differences, resampled_means, weighted_mean
from robustill.diagnostics.ranking.scores import scored


def test_weighted_means() -> None:
    values = torch.tensor([[1.0, 10.0], [3.0, 30.0], [100.0, 0.0]])
    assert weighted_mean(values, torch.tensor([1.0, 3.0, 0.0])).tolist() == [2.5, 25.0]
    assert bool(weighted_mean(values, torch.zeros(3)).isnan().all())


def test_only_examples_of_the_group_are_drawn() -> None:
    values = torch.tensor([[1.0], [1.0], [1000.0]])
    drawn = resampled_means(values, torch.tensor([0.2, 1.0, 0.0]), 100, seed=0)
    assert torch.allclose(drawn, torch.ones(100, 1, dtype=torch.float64))
    assert bool(resampled_means(values, torch.zeros(3), 5, seed=0).isnan().all())


@pytest.mark.parametrize("resamples", [1, 49, 50, 51, 120])
def test_draws_are_a_function_of_the_seed_and_paired(resamples: int) -> None:
    values, weights = torch.rand(30, 2), torch.ones(30)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = resampled_means(values, weights, resamples, seed=1)
    assert one.shape == (resamples, 2)
    assert torch.equal(one, resampled_means(values, weights, resamples, seed=1))
    assert not torch.equal(one, resampled_means(values, weights, resamples, seed=2))
    shifted = resampled_means(values + 1, weights, resamples, seed=1)
    assert torch.allclose(shifted - one, torch.ones_like(one))
    assert torch.equal(torch.get_rng_state(), before)


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    generator, covered, trials = torch.Generator().manual_seed(0), 0, 400
    for trial in range(trials):
        values = -torch.rand(60, 1, generator=generator, dtype=torch.float64).log()
        low, high = middle(resampled_means(values, torch.ones(60), 200, seed=trial))
        covered += bool(low <= 1.0 <= high)
    # The percentile interval of so few skewed values is a little short of 95%.
    assert 0.92 <= covered / trials <= 0.97


def contrast(logits: torch.Tensor, unlearnable: torch.Tensor, learnable: torch.Tensor) -> Any:
    y, groups = torch.zeros(len(logits), dtype=torch.int64), {"unlearnable": unlearnable, "learnable": learnable}
    found = scored(logits, y, groups, temperature=1.0, confident=0.9, resamples=200, seed=4)
    return found["entropy"]["contrast"]


def test_the_contrast_of_groups_that_share_images_is_drawn_once() -> None:
    logits = 3 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(60, generator=torch.Generator().manual_seed(1))
    same = contrast(logits, weights, 2 * weights)
    assert (same.mean, same.low, same.high) == pytest.approx((0, 0, 0), abs=1e-12)
    # One example is in both groups, which are hard to miss in a draw of 60 and easy in one of two.
    first, last = torch.zeros(60), torch.zeros(60)
    first[:31], last[30:] = 1, 1
    values = torch.rand(60, 1, generator=torch.Generator().manual_seed(2))
    assert len(resampled_differences(values, first, last, 100, seed=0)) == 100
    few = resampled_differences(values[30:32], first[30:32], last[30:32], 100, seed=0)
    assert 60 < len(few) < 90
    assert bool(few.isfinite().all())


def test_the_contrast_of_groups_without_a_common_image_is_of_draws_apart() -> None:
    logits = 3 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    first = (torch.arange(60) < 20).float()
    found, p = contrast(logits, first, 1 - first), logits.double().softmax(1)
    entropies = -(p * p.log()).sum(1, keepdim=True)
    apart = resampled_means(entropies, first, 200, seed=4) - resampled_means(entropies, 1 - first, 200, seed=5)
    low, high = middle(apart)
    assert (found.low, found.high) == pytest.approx((low.item(), high.item()), abs=1e-12)
    together = middle(resampled_differences(entropies, first, 1 - first, 2000, seed=4))
    for one, other in zip((found.low, found.high), together, strict=True):
        assert one == pytest.approx(other.item(), abs=0.08), "the same, up to chance"


def test_intervals_of_a_difference_cover_it_as_often_as_they_say() -> None:
    # None to three references are right, as many each, and teachers are the surer, the more are.
    generator, covered, trials = torch.Generator().manual_seed(0), 0, 300
    for trial in range(trials):
        score = torch.randint(0, 4, (200,), generator=generator)
        values = (1.2 - 0.3 * score + torch.randn(200, generator=generator) / 2)[:, None]
        low, high = middle(resampled_differences(values, 1 - score / 3, score / 3, 200, seed=trial))
        # (1.2 + 0.9 * 2/3 + 0.6 / 3) / 2 less (0.9 / 3 + 0.6 * 2/3 + 0.3) / 2.
        covered += bool(low <= 0.5 <= high)
    assert 0.9 <= covered / trials <= 0.98
