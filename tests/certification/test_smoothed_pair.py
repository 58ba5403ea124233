"""A smoothed student beside its teacher: shared noise, swapped roles, bounds that hold at shifted points."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustill.certification.smoothed_pair import SmoothedPair, smooth_pair
from robustill.certification.smoothing import smooth
from robustill.certification.smoothing_bounds import binomial_high, mean_margin
from robustill.certification.smoothing_noise import Noise
from robustill.errors import InputError, ModelError

SIGMA = 0.3


class Slope(nn.Module):
    """Two classes of 2-D points; the logit of class 1 is a curved function of them."""

    def __init__(self, angle: float, steepness: float = 4.0) -> None:
        super().__init__()
        self.angle, self.steepness = angle, steepness

    def forward(self, x: Tensor) -> Tensor:
        z = np.cos(self.angle) * (x[:, 0] - 0.5) + np.sin(self.angle) * (x[:, 1] - 0.5)
        z = self.steepness * (z + 0.5 * torch.sin(5 * x[:, 0]))
        return torch.stack([-z, z], 1)


def points(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))


def run(student: nn.Module, teacher: nn.Module, x: Tensor, **changes: Any) -> SmoothedPair:
    plain = {"sigma": SIGMA, "selection": 20, "samples": 400, "alpha": 0.01, "progress": False}
    y = changes.pop("y", torch.ones(len(x), dtype=torch.int64))
    return smooth_pair(student.eval(), teacher.eval(), x, y, **{**plain, **changes})


def expected(student: nn.Module, teacher: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smoothed gap of class 1 and the probability of disagreement, `[N, 2] -> [N]`, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    grid = torch.tensor(np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2))
    mass = torch.tensor(np.outer(weights, weights).flatten() / (2 * np.pi))
    gaps, differ = [], []
    for point in x.double():
        at = point + SIGMA * grid
        s, t = student(at), teacher(at)
        gaps.append(((s.softmax(1) - t.softmax(1))[:, 1] * mass).sum())
        differ.append(((s.argmax(1) != t.argmax(1)) * mass).sum())
    return torch.stack(gaps), torch.stack(differ)


def test_bounds_hold_at_x_and_at_shifted_points() -> None:
    student, teacher, x = Slope(0.2), Slope(0.9, 3.0), points(6)
    found = run(student, teacher, x, samples=4000)
    generator = torch.Generator().manual_seed(1)
    for radius in (0.0, 0.05, 0.2):
        low, high = found.gap_at(radius)
        for _ in range(4):
            step = torch.randn(6, 2, generator=generator)
            gap, differ = expected(student, teacher, x + radius * step / step.norm(dim=1, keepdim=True))
            assert (low <= gap).all()
            assert (gap <= high).all()
            assert (gap.abs() <= found.calibration_at(radius)).all()
            # Quadrature of an indicator is good to a percent.
            assert (differ <= found.disagreement_at(radius) + 0.01).all()
    assert (found.gap_high - found.gap_low < 0.12).all()
    wide = found.gap_at(0.2)[1] - found.gap_at(0.2)[0]
    assert (wide > found.gap_high - found.gap_low).all()


def test_the_interval_errs_no_more_often_than_stated() -> None:
    student, teacher, x = Slope(0.2), Slope(0.9), points(1, seed=2)
    truth, _ = expected(student, teacher, x)
    found = run(student, teacher, x.expand(600, 2), samples=30, alpha=0.5, batch_size=4096)
    wrong = (found.gap_low > truth) | (found.gap_high < truth)
    assert float(wrong.double().mean()) < 0.2
    torch.testing.assert_close(found.gap.mean(), truth[0], atol=0.01, rtol=0)


def test_the_interval_is_read_off_the_estimation_copies() -> None:
    student, teacher, x = Slope(0.2), Slope(0.9), points(2)
    found = run(student, teacher, x, samples=3000)
    noise = Noise(sigma=SIGMA, selection=20, samples=3000, alpha=0.01, batch_size=4096, seed=0)
    parts = list(noise.copies(x, [0, 1], label="", progress=False))
    rows, judging, copies = (torch.cat([part[i] for part in parts]) for i in range(3))
    shares = (1 + (student(copies).softmax(1) - teacher(copies).softmax(1))[:, 1].double()) / 2
    for row in range(2):
        mine = shares[judging & (rows == row)]
        low = mine.mean() - mean_margin(mine.var(), 3000, 0.01 / 5)
        high = mine.mean() + mean_margin(mine.var(), 3000, 0.01 / 5)
        torch.testing.assert_close(found.gap_low[row], 2 * low - 1)
        torch.testing.assert_close(found.gap_high[row], 2 * high - 1)


def test_the_lemma_is_exact_for_a_step() -> None:
    found = run(Slope(0.0), Slope(0.0), points(3))
    g = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    steps = replace(found, gap_low=2 * g - 1, gap_high=2 * g - 1, disagreement_high=g)
    shift = 0.1 / SIGMA
    low, high = steps.gap_at(0.1)
    torch.testing.assert_close(low, 2 * torch.special.ndtr(torch.special.ndtri(g) - shift) - 1)
    torch.testing.assert_close(high, 2 * torch.special.ndtr(torch.special.ndtri(g) + shift) - 1)
    torch.testing.assert_close(steps.disagreement_at(0.1), torch.special.ndtr(torch.special.ndtri(g) + shift))
    torch.testing.assert_close(steps.calibration_at(0.0), (2 * g - 1).abs())


def test_swapping_the_networks_negates_and_swaps() -> None:
    x = points(5)
    one, other = run(Slope(0.2), Slope(0.9), x), run(Slope(0.9), Slope(0.2), x)
    for radius in (0.0, 0.2):
        low, high = one.gap_at(radius)
        torch.testing.assert_close(other.gap_at(radius)[0], -high)
        torch.testing.assert_close(other.gap_at(radius)[1], -low)
        torch.testing.assert_close(one.disagreement_at(radius), other.disagreement_at(radius))
    assert one.student.to_json() == other.teacher.to_json()
    assert torch.equal(one.agreement_radius, other.agreement_radius)
    assert float(one.gap.abs().max()) > 0.05


def test_a_network_agrees_with_itself_because_the_noise_is_shared() -> None:
    found = run(Slope(0.4), Slope(0.4), points(5), samples=1000)
    assert found.gap.tolist() == [0] * 5
    assert found.disagreements.tolist() == [0] * 5
    # ln 2000 over the five bounds: only the term without a variance is left of Bernstein's bound.
    assert float(found.gap_high.max()) == pytest.approx(2 * 7 * np.log(4 / 0.002) / (3 * 999))
    torch.testing.assert_close(found.gap_low, -found.gap_high)
    torch.testing.assert_close(found.agreement_radius, found.student.radius)


def test_temperature_divides_the_logits_of_the_gap() -> None:
    x = points(4)
    cold, warm = (run(Slope(0.2), Slope(0.9, 3.0), x, temperature=t) for t in (1.0, 4.0))
    divided = run(Slope(0.2, 1.0), Slope(0.9, 0.75), x)
    for name in ("gap", "gap_low", "gap_high"):
        torch.testing.assert_close(getattr(warm, name), getattr(divided, name), atol=1e-6, rtol=0)
    assert float((warm.gap - cold.gap).abs().max()) > 0.05
    assert (warm.to_json()["temperature"], cold.to_json()["temperature"]) == (4.0, 1.0)
    for same in ("disagreements", "agreement_radius"):
        assert torch.equal(getattr(warm, same), getattr(cold, same)), "classes know no temperature"


def test_the_bounds_share_alpha() -> None:
    x = points(4)
    found = run(Slope(0.2), Slope(0.9), x)
    alone = smooth(Slope(0.9).eval(), x, sigma=SIGMA, selection=20, samples=400, alpha=0.002, progress=False)
    assert found.teacher.to_json() == alone.to_json()
    torch.testing.assert_close(found.disagreement_high, binomial_high(found.disagreements, 400, 0.002))


def test_agreement_needs_the_same_class_twice() -> None:
    found = run(Slope(0.0), Slope(0.0), points(4))
    student = replace(
        found.student, prediction=torch.tensor([1, 0, -1, -1]), radius=torch.tensor([0.5, 0.5, 0, 0]).double()
    )
    teacher = replace(
        found.teacher, prediction=torch.tensor([1, 1, 1, -1]), radius=torch.tensor([0.25, 0.25, 0.25, 0]).double()
    )
    assert replace(found, student=student, teacher=teacher).agreement_radius.tolist() == [0.25, 0, 0, 0]


def test_only_the_estimation_copies_count() -> None:
    # One class is certain on the first copy alone, which chooses; the gap must not see it.
    class FirstCall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            sign = 1.0 if self.calls == 0 else -1.0
            self.calls += 1
            return 50 * sign * torch.tensor([[-1.0, 1.0]]).expand(len(x), 2)

    found = run(FirstCall(), Slope(0.0), points(1), selection=16, samples=64, batch_size=16)
    teacher = run(Slope(0.0), Slope(0.0), points(1), selection=16, samples=64, batch_size=16).teacher
    assert float(found.gap) < 0
    assert int(found.disagreements) == int(teacher.counts[0, 1])
    assert found.student.selected.tolist() == [1]
    assert found.student.counts.tolist() == [[64, 0]]


def test_noise_does_not_depend_on_the_batch_size() -> None:
    x = points(5)
    whole = run(Slope(0.2), Slope(0.9), x)
    for batch_size in (16, 100):
        other = run(Slope(0.2), Slope(0.9), x, batch_size=batch_size)
        assert torch.equal(other.student.counts, whole.student.counts)
        assert torch.equal(other.disagreements, whole.disagreements)
        torch.testing.assert_close(other.gap_low, whole.gap_low)


def test_results_can_be_written_as_json() -> None:
    found = json.loads(json.dumps(run(Slope(0.2), Slope(0.9), points(2)).to_json()))
    assert found["classes"] == [1, 1]
    assert len(found["agreement_radius"]) == len(found["teacher"]["radius"]) == 2


def test_what_does_not_fit() -> None:
    x = points(2)
    with pytest.raises(ModelError, match="the student has 2 classes, the teacher 3"):
        run(Slope(0.0), nn.Linear(2, 3), x)
    with pytest.raises(InputError, match="the teacher is in train mode"):
        smooth_pair(Slope(0.0).eval(), Slope(0.0), x, torch.ones(2, dtype=torch.int64), sigma=1.0, progress=False)
    with pytest.raises(InputError, match="the student is in train mode"):
        smooth_pair(Slope(0.0), Slope(0.0).eval(), x, torch.ones(2, dtype=torch.int64), sigma=1.0, progress=False)
    with pytest.raises(InputError, match="a class for each of the 2 images"):
        run(Slope(0.0), Slope(0.0), x, y=torch.ones(3, dtype=torch.int64))
    with pytest.raises(InputError, match="labels run from 2"):
        run(Slope(0.0), Slope(0.0), x, y=torch.full((2,), 2))
    with pytest.raises(InputError, match="sigma is 0"):
        run(Slope(0.0), Slope(0.0), x, sigma=0)
    with pytest.raises(InputError, match="temperature is 0"):
        run(Slope(0.0), Slope(0.0), x, temperature=0)
    with pytest.raises(InputError, match="must lie in"):
        run(Slope(0.0), Slope(0.0), x - 3)
    broken = nn.Linear(2, 2)
    nn.init.constant_(broken.bias, torch.nan)
    with pytest.raises(ModelError, match="infinite or undefined"):
        run(Slope(0.0), broken, x)
    with pytest.raises(InputError, match="radius is -1"):
        run(Slope(0.0), Slope(0.0), x).gap_at(-1.0)
