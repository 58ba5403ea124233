"""Randomized smoothing: closed forms for linear models, separate samples, noise that belongs to the example."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.certification.smoothing import Smoothed, smooth
from robustill.certification.smoothing_bounds import binomial_low
from robustill.certification.smoothing_noise import Noise
from robustill.errors import InputError, ModelError

SIGMA = 0.2


class HalfSpace(nn.Module):
    """Class 1 where `w x > b`."""

    def __init__(self, dim: int = 4) -> None:
        super().__init__()
        self.register_buffer("w", torch.linspace(0.5, 2, dim))
        self.b = 0.5 * float(self.w.sum())  # type: ignore[operator, arg-type]

    def distance(self, x: Tensor) -> Tensor:
        """Return the signed distance to the boundary."""
        return (x @ self.w - self.b) / self.w.norm()  # type: ignore[operator, no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        z = self.distance(x)
        return torch.stack([torch.zeros_like(z), z], 1)


def points(n: int, seed: int = 0, dim: int = 4) -> Tensor:
    return torch.rand(n, dim, generator=torch.Generator().manual_seed(seed))


def run(model: nn.Module, x: Tensor, **changes: Any) -> Smoothed:
    plain = {"sigma": SIGMA, "selection": 20, "samples": 200, "alpha": 0.01, "progress": False}
    return smooth(model.eval(), x, **{**plain, **changes})


def test_the_radius_tends_to_the_distance_of_a_half_space() -> None:
    model, x = HalfSpace(), points(12)
    found = run(model, x, samples=40_000, alpha=0.001, batch_size=8192)
    distance = model.distance(x)
    far = distance.abs() > 0.02
    assert (found.prediction[far] == (distance[far] > 0)).all()
    assert (found.radius[far] <= distance[far].abs() + 1e-6).all()
    # Six standard deviations of the share of votes, and a little for where that is next to nothing.
    share = torch.special.ndtr(distance[far].double().abs() / SIGMA)
    lowest = share - 6 * (share * (1 - share) / 40_000).sqrt() - 10 / 40_000
    assert (found.radius[far] > SIGMA * torch.special.ndtri(lowest)).all()
    near = distance.abs() < 2 * SIGMA
    torch.testing.assert_close(found.radius[near], distance[near].double().abs(), rtol=0.02, atol=0.03 * SIGMA)
    torch.testing.assert_close(found.counts.sum(1), torch.full((12,), 40_000))


def test_the_lower_bound_errs_no_more_often_than_stated() -> None:
    model, x = HalfSpace(), points(1500, seed=1)
    truth = torch.special.ndtr(model.distance(x).double().abs() / SIGMA)
    found = run(model, x, selection=60, samples=60, alpha=0.2, batch_size=4096)
    chosen_right = found.selected == (model.distance(x) > 0)
    wrong = (found.probability > truth)[chosen_right].double().mean()
    # Nearly all of what is allowed is used, because Clopper-Pearson is exact up to the steps of the counts.
    assert 0.08 < float(wrong) < 0.2 + 3 * (0.2 * 0.8 / 1500) ** 0.5


class Coin(nn.Module):
    """Chooses among classes by the last digits of its input: votes are even, whatever the class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        digits = (x[:, 0] * 7919).floor().long() % self.classes
        return nn.functional.one_hot(digits, self.classes).float()


def test_an_even_vote_abstains() -> None:
    found = run(Coin(2), points(400), selection=10, samples=50, alpha=0.05, batch_size=4096)
    share = (found.prediction >= 0).double().mean()
    assert float(share) < 0.05
    assert (found.radius[found.prediction < 0] == 0).all()
    assert (found.selected >= 0).all()
    assert not bool(found.certified(found.selected, 0.0)[found.prediction < 0].any())


def test_the_copies_that_choose_do_not_judge() -> None:
    # Among 50 classes the one with the most of 50 votes seems to have a share of 0.08; on fresh copies it has 0.02.
    found = run(Coin(50), points(300), selection=50, samples=50, batch_size=4096)
    judged = found.counts.gather(1, found.selected[:, None]).double().mean() / 50
    assert 0.015 < float(judged) < 0.025
    assert (found.counts.sum(1) == 50).all()


def test_noise_belongs_to_the_example() -> None:
    model, x = HalfSpace(), points(9)
    whole = run(model, x, selection=7, samples=83)
    for batch_size in (1, 16, 50, 10_000):
        assert run(model, x, selection=7, samples=83, batch_size=batch_size).to_json() == whole.to_json()
    order = torch.tensor([5, 2, 8])
    some = run(model, x[order], selection=7, samples=83, index=order)
    assert torch.equal(some.counts, whole.counts[order])
    assert not torch.equal(run(model, x[order], selection=7, samples=83).counts, whole.counts[order])
    assert not torch.equal(run(model, x, selection=7, samples=83, seed=1).counts, whole.counts)


def test_the_noise_is_gaussian_and_never_repeats() -> None:
    noise = Noise(sigma=0.3, selection=30, samples=2000, alpha=0.1, batch_size=100, seed=3)
    x = torch.full((3, 1, 5, 5), 0.5)
    parts = list(noise.copies(x, [0, 1, 0], label="", progress=False))
    rows, judging, copies = (torch.cat([part[i] for part in parts]) for i in range(3))
    assert torch.equal(torch.bincount(rows), torch.full((3,), 2030))
    assert int(judging.sum()) == 6000
    delta = (copies - 0.5).flatten(1) / 0.3
    assert torch.equal(delta[rows == 0], delta[rows == 2])
    assert delta[rows < 2].unique().numel() > 0.99 * 2 * 2030 * 25
    ordered = delta[rows < 2].flatten().double().sort().values
    expected = (torch.arange(len(ordered)) + 0.5) / len(ordered)
    # Kolmogorov-Smirnov, 99.9 %.
    assert float((torch.special.ndtr(ordered) - expected).abs().max()) < 1.95 / len(ordered) ** 0.5


def test_the_largest_radius() -> None:
    found = run(HalfSpace(), torch.ones(2, 4), samples=100, alpha=0.001, sigma=0.01)
    best = torch.special.ndtri(torch.tensor(0.001 ** (1 / 100), dtype=torch.float64))
    torch.testing.assert_close(found.radius, 0.01 * best.expand(2), rtol=1e-9, atol=0)
    assert found.certified(torch.tensor([1, 0]), 0.0).tolist() == [True, False]
    assert found.certified(torch.tensor([1, 1]), float(found.radius[0])).tolist() == [False, False]
    assert found.certified(torch.tensor([1, 1]), 0.99 * float(found.radius[0])).tolist() == [True, True]


def test_the_certificate_is_read_off_the_counts() -> None:
    found = run(HalfSpace(), points(20))
    hits = found.counts.gather(1, found.selected[:, None]).squeeze(1)
    torch.testing.assert_close(found.probability, binomial_low(hits, 200, 0.01))
    sure = found.probability > 0.5
    assert 0 < int(sure.sum()) < 20
    torch.testing.assert_close(found.radius[sure], SIGMA * torch.special.ndtri(found.probability[sure]))


def test_the_model_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = points(3).requires_grad_()
    state = torch.get_rng_state()
    found = run(model, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert x.grad is None
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert not found.radius.requires_grad
    model(x).sum().backward()  # nothing that smoothing left behind stands in the way


def test_undefined_logits_vote_for_no_class() -> None:
    class Broken(HalfSpace):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return torch.where(x[:, :1] > 0.5, torch.nan, logits)

    found = run(Broken(), torch.full((1, 4), 0.5))
    assert 60 < int(found.counts.sum()) < 140
    assert found.prediction.tolist() == [-1]


def test_bfloat16_images() -> None:
    found = run(HalfSpace().bfloat16(), torch.ones(2, 4, dtype=torch.bfloat16))
    assert found.prediction.tolist() == [1, 1]


def test_results_can_be_written_as_json() -> None:
    found = json.loads(json.dumps(run(HalfSpace(), points(2)).to_json()))
    assert set(found) == {
        "prediction",
        "radius",
        "probability",
        "selected",
        "counts",
        "sigma",
        "samples",
        "alpha",
    }
    assert len(found["counts"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"samples": 0}, "samples is 0"),
        ({"selection": 0}, "selection is 0"),
        ({"samples": 10.5}, "samples is 10.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"index": torch.arange(3)}, "an integer for each of the 2 images"),
    ],
    ids=str,
)
def test_values_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(HalfSpace(), points(2), **changes)


def test_images_models_and_labels_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="must lie in"):
        run(HalfSpace(), 2 * torch.ones(1, 4))
    with pytest.raises(InputError, match="the model is in train mode"):
        smooth(nn.Sequential(HalfSpace(), nn.Dropout()), points(1), sigma=SIGMA, progress=False)
    with pytest.raises(ModelError, match="must return logits"):
        run(nn.Flatten(0), points(2))
    found = run(HalfSpace(), points(2))
    with pytest.raises(InputError, match="labels"):
        found.certified(torch.tensor([0, 2]), 0.1)
    with pytest.raises(InputError, match="radius is -1"):
        found.certified(torch.tensor([0, 1]), -1.0)
