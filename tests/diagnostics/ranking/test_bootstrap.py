"""Weighted means and their intervals."""

import pytest
import torch

from robustill.diagnostics.ranking.bootstrap import middle, resampled_means, weighted_mean


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
