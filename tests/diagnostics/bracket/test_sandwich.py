"""`attack <= truth <= certificate`, on random, trained and exactly known networks."""

import copy
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks.threat import ball
from robustill.data import Data
from robustill.data.splits import to_unit
from robustill.diagnostics.bracket import BracketError, Calibration, calibrate, certify, pair_stages
from robustill.diagnostics.bracket.pair_attack import attack_pair
from robustill.diagnostics.bracket.pair_bounds import agreement_slack
from robustill.diagnostics.bracket.sandwich import ROUNDING, certain_within, found_within
from robustill.diagnostics.bracket.search import Search
from robustill.diagnostics.bracket.subject import same_function
from robustill.diagnostics.bracket.witness import differ
from robustill.models import Frozen, model_digest
from tests.diagnostics.bracket.networks import Brightness, Divided, grey, random_network, trained_network

QUICK: dict[str, Any] = {"steps": 8, "restarts": 2, "targets": 2, "progress": False}


def sampled(student: nn.Module, teacher: nn.Module, data: Data, eps: float, norm: Any) -> tuple[Tensor, ...]:
    """Return the largest gap, the largest negative one and whether classes differ, over random points `[n]`."""
    x, y = to_unit(data.test.images(torch.arange(len(data.test)))), data.test.labels
    over, under = torch.full((len(y),), -1.0), torch.full((len(y),), -1.0)
    apart = torch.zeros(len(y), dtype=torch.bool)
    region, generator = ball(norm, x, eps), torch.Generator().manual_seed(5)
    for _ in range(60):
        point = region.uniform(generator)
        if norm == "Linf":
            point = region.project(x + eps * (point - x).sign())
        with torch.no_grad():
            ours, theirs = student(point), teacher(point)
        gap = (ours.softmax(1) - theirs.softmax(1)).gather(1, y[:, None]).squeeze(1)
        over, under = torch.maximum(over, gap), torch.maximum(under, -gap)
        apart |= ours.argmax(1) != theirs.argmax(1)
    return over, under, apart


def holds(found: Calibration, k: int, student: nn.Module, teacher: nn.Module, data: Data) -> None:
    over, under, apart = sampled(student, teacher, data, found.eps[k], found.norm)
    compared = ~found.over.lower[k].isnan()
    for bracket, met in ((found.over, over), (found.under, under), (found.calibration, torch.maximum(over, under))):
        assert (bracket.lower[k] <= bracket.upper[k])[compared].all()
        assert (met <= bracket.upper[k] + 1e-5)[compared].all()
    assert not (found.apart & found.agreed)[k].any()
    assert not (apart & found.agreed[k])[compared].any()


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed: int, tiny_data: Data) -> None:
    student, teacher = random_network(seed, scale=4), random_network(seed + 10, scale=2)
    found = calibrate(student, teacher, tiny_data, [0.01, 0.06], seed=seed, **QUICK)
    right = torch.stack([found.student_class == found.labels, found.teacher_class == found.labels])
    assert torch.equal(found.over.lower[0].isnan(), ~right.any(0)), "all others are compared"
    for k in range(2):
        holds(found, k, student, teacher, tiny_data)


@pytest.mark.parametrize(
    ("norm", "bounds", "eps"),
    [*product(["Linf"], ["crown", "crown-ibp", "ibp"], [0.03]), ("L2", "crown", 0.2)],
)
def test_a_trained_pair(norm: Any, bounds: str, eps: float, pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    student, teacher = pair
    found = calibrate(student, teacher, tiny_data, [eps / 3, eps], norm=norm, bounds=bounds, **QUICK)
    chosen = found.chosen()
    assert 30 <= int(chosen.sum()) <= 40
    holds(found, 1, student, teacher, tiny_data)
    over, under, _ = sampled(student, teacher, tiny_data, eps, norm)
    # The attack is better than guessing, and larger balls hold more.
    assert (found.over.lower[1] >= over - 1e-4)[chosen].float().mean() > 0.95
    assert (found.under.lower[1] >= under - 1e-4)[chosen].float().mean() > 0.95
    assert (found.calibration.lower[0] <= found.calibration.lower[1])[chosen].all()
    assert (found.calibration.upper[0] <= found.calibration.upper[1])[chosen].all()
    if bounds == "crown":
        width = (found.calibration.upper - found.calibration.lower)[:, chosen].mean(1)
        assert width[0] < 0.03, "the bracket is tight where the ball is small"
        assert found.agreed[0, chosen].float().mean() > 0.8


def test_an_exactly_known_pair() -> None:
    # A ball of radius eps moves the mean by eps, in one direction the gap grows or falls with.
    student, teacher, data = Brightness(8.0, 0.5).eval(), Brightness(4.0, 0.5).eval(), grey()
    eps = 0.1
    found = calibrate(student, teacher, data, eps, **{**QUICK, "steps": 40, "restarts": 3})
    level = data.test.images(torch.arange(20)).float().mean((1, 2, 3)) / 255
    sign = 2.0 * data.test.labels - 1
    grid = level[:, None] + torch.linspace(-eps, eps, 2001)
    gap = (16 * sign[:, None] * (grid - 0.5)).sigmoid() - (8 * sign[:, None] * (grid - 0.5)).sigmoid()
    torch.testing.assert_close(found.over.lower[0], gap.amax(1), atol=3e-3, rtol=0)
    torch.testing.assert_close(found.under.lower[0], (-gap).amax(1), atol=3e-3, rtol=0)
    assert (found.over.upper[0] >= gap.amax(1) - 1e-5).all()
    assert (found.under.upper[0] >= (-gap).amax(1) - 1e-5).all()
    # Both change their class at the same level, so that they never differ; it is certified where they do not change.
    assert not found.apart.any()
    assert torch.equal(found.agreed[0], (level - 0.5).abs() > eps)


def test_a_disagreement_is_found() -> None:
    student, teacher, data = Brightness(4.0, 0.55).eval(), Brightness(4.0, 0.5).eval(), grey()
    found = calibrate(student, teacher, data, 0.1, **QUICK)
    level = data.test.images(torch.arange(20)).float().mean((1, 2, 3)) / 255
    reachable = (level + 0.1 > 0.5) & (level - 0.1 < 0.55)
    assert torch.equal(found.apart[0], reachable)
    assert torch.equal(found.agreed[0], ~reachable)
    assert 0 < int(reachable.sum()) < 20


def test_ties_are_no_disagreement() -> None:
    tied, sure = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert not differ(tied, sure)
    assert not differ(sure, tied)
    assert differ(torch.tensor([[2.0, 1.0, 0.0]]), sure)


class Halves(nn.Module):
    """Class 1 grows with both halves of an image; class 2, far off, with the lead of one half over the other."""

    def __init__(self, slope: float, lead: float) -> None:
        super().__init__()
        self.slope, self.lead = slope, lead

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.flatten(1)[:, :8].mean(1) - 0.5, x.flatten(1)[:, 8:].mean(1) - 0.5
        return torch.stack([torch.zeros_like(a), self.slope * (a + b) - 1, self.lead * (a - b) - 10], 1)


def test_a_disagreement_that_gaps_do_not_lead_to() -> None:
    # Gaps and cross-entropies lead to both halves brighter, where the two networks agree.
    networks, x = (Halves(3.0, 60.0), Halves(2.5, -60.0)), torch.full((2, 1, 4, 4), 0.5)
    search = Search(networks, x, 0.1, "Linf", steps=10, restarts=2, seed=0, positions=[0, 1])
    y, both = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.bool)
    assert attack_pair(search, y, both, temperature=1.0, targets=2)["apart"].all()
    assert not attack_pair(search, y, ~both, temperature=1.0, targets=2)["apart"].any(), "not compared"


def test_a_climb_ascends() -> None:
    network = Brightness(4.0, 0.5)
    search = Search((network,), torch.full((1, 1, 4, 4), 0.5), 0.1, "Linf", 10, 1, 0, [0])
    seen: list[float] = []
    search.climb(search.x, lambda z: z[:, 1], lambda z: seen.append(float(z[0, 1])))
    assert seen[0] == pytest.approx(0.0, abs=1e-6)
    assert seen[-1] == pytest.approx(0.4, abs=1e-5)
    assert seen == sorted(seen)
    assert len(seen) == 11


def test_what_a_larger_ball_contains() -> None:
    values = torch.tensor([[1.0, 5.0, torch.nan], [3.0, 2.0, torch.nan], [2.0, 4.0, torch.nan]])
    expected = torch.tensor([[1.0, 5.0, torch.nan], [3.0, 5.0, torch.nan], [3.0, 5.0, torch.nan]])
    torch.testing.assert_close(found_within(values), expected, equal_nan=True)
    expected = torch.tensor([[1.0, 2.0, torch.nan], [2.0, 2.0, torch.nan], [2.0, 4.0, torch.nan]])
    torch.testing.assert_close(certain_within(values), expected, equal_nan=True)
    assert found_within(torch.tensor([[True], [False]])).all()


def test_radius_zero(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    found = calibrate(*pair, tiny_data, 0, **QUICK)
    chosen = found.chosen()
    assert torch.equal(found.calibration.lower[0, chosen], found.gap.abs()[chosen])
    torch.testing.assert_close(found.calibration.upper[0, chosen], found.gap.abs()[chosen], atol=1e-5, rtol=0)
    assert torch.equal(found.agreed[0, chosen], (found.student_class == found.teacher_class)[chosen])


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_swapped_roles_swap_the_signed_parts(
    temperature: float, pair: tuple[nn.Module, nn.Module], tiny_data: Data
) -> None:
    options = {**QUICK, "temperature": temperature, "points": "both"}
    there = calibrate(*pair, tiny_data, [0.02, 0.05], **options)
    back = calibrate(*reversed(pair), tiny_data, [0.02, 0.05], **options)
    chosen = there.chosen()
    assert torch.equal(chosen, back.chosen())
    for one, other in ((there.over, back.under), (there.under, back.over)):
        for k in range(2):
            # The order of summation decides the sign of a gradient near 0.
            torch.testing.assert_close(one[k][:, chosen], other[k][:, chosen], atol=1e-3, rtol=0)
    assert not torch.allclose(there.over.lower, there.under.lower, atol=0.01, equal_nan=True)
    assert torch.equal(there.agreed, back.agreed)


def test_temperature_scales_the_logits(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    found = calibrate(*pair, tiny_data, 0.03, **QUICK, temperature=2.0)
    divided = calibrate(*(Divided(each, 2).eval() for each in pair), tiny_data, 0.03, **QUICK)
    for one, other in ((found.student, divided.student), (found.teacher, divided.teacher)):
        # Row 0 is without an attack, the other where the attack found the worst.
        torch.testing.assert_close(one.confidence[0], other.confidence[0])
        torch.testing.assert_close(one.confidence[1], other.confidence[1], atol=0.01, rtol=0)
    torch.testing.assert_close(found.calibration.lower, divided.calibration.lower, atol=1e-3, rtol=0, equal_nan=True)
    torch.testing.assert_close(found.calibration.upper, divided.calibration.upper, atol=1e-4, rtol=0, equal_nan=True)


def test_equal_tensors_do_not_make_two_networks_the_same(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    found = calibrate(*(Divided(pair[0], by).eval() for by in (1, 4)), tiny_data, 0.02, **QUICK)
    chosen = found.chosen()
    assert (found.calibration.upper >= found.calibration.lower)[:, chosen].all()
    assert (found.calibration.lower > 0.01)[:, chosen].any()


def test_only_known_layers_make_two_objects_one_function(pair: tuple[nn.Module, nn.Module]) -> None:
    def closed(by: float) -> nn.Module:
        class Closed(Divided):
            def forward(self, x: Tensor) -> Tensor:
                return self.network(x) / by  # type: ignore[no-any-return]

        return Closed(pair[0], 1)

    assert model_digest(closed(1)) == model_digest(closed(4))
    assert not same_function(closed(1), closed(4))
    assert same_function(pair[0], copy.deepcopy(pair[0]))
    assert same_function(Frozen(pair[0]), pair[0])
    network = closed(1)
    assert same_function(network, network)
    assert not same_function(nn.Sequential(nn.LeakyReLU(0.1)), nn.Sequential(nn.LeakyReLU(0.3)))


def test_a_network_beside_itself(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    found = calibrate(pair[0], pair[0], tiny_data, [0.02, 0.1], **QUICK)
    chosen = found.chosen()
    assert not found.calibration.upper[:, chosen].any()
    assert not found.calibration.lower[:, chosen].any()
    assert found.agreed[:, chosen].all()
    assert not found.apart.any()


def moved(network: nn.Module, by: float) -> nn.Module:
    """Return the same function with its hidden units in another order and all logits larger by `by`."""
    other = copy.deepcopy(network)
    order = torch.arange(7, -1, -1)
    with torch.no_grad():
        other[3].weight.copy_(other[3].weight[order]), other[3].bias.copy_(other[3].bias[order])
        other[5].weight.copy_(other[5].weight[:, order]), other[5].bias.add_(by)
    return other


@pytest.mark.parametrize("bounds", ["ibp", "crown"])
def test_logits_whose_rounding_is_large(bounds: str, tiny_data: Data) -> None:
    student = trained_network(tiny_data, 0)
    with torch.no_grad():
        student[5].weight.mul_(3), student[5].bias.mul_(3).add_(1e5)
    found = calibrate(student, moved(student, 0.0), tiny_data, [1e-7, 1e-3], bounds=bounds, **QUICK)
    compared = ~found.over.lower.isnan()
    assert found.over.upper[compared].min() > 8 * 2**-23 * 1e5 - 2 * ROUNDING, "the certificate gives way"


@pytest.mark.parametrize("bounds", ["ibp", "crown"])
def test_margins_that_rounding_may_have_made(bounds: str) -> None:
    data, network = grey(), Brightness(4.0, 0.5).eval()
    with torch.no_grad():
        network.layer.bias.add_(1e6)
    found = certify(network, data, 1e-7, bounds=bounds, steps=2, restarts=1, progress=False)
    margins = 8 * (to_unit(data.test.images(torch.arange(len(data.test)))).flatten(1).double().mean(1) - 0.5).abs()
    # The network's own margins are off by a step of 1/16 or two.
    sure = found.certified[0]
    assert found.clean.all()
    assert sure[margins > 8 * 2**-23 * 1e6 + 0.15].all()
    assert not sure[margins < 8 * 2**-23 * 1e6 - 0.15].any()


def test_agreement_needs_all_events_to_be_impossible() -> None:
    # Upper bounds of margins over class 0, of three classes; differences student - teacher within -+ 1.
    y, apart = torch.zeros(1, dtype=torch.int64), torch.tensor([[0.0, 1.0, 1.0]])

    def slack(ours: list[float], theirs: list[float], lower: Tensor = -apart, upper: Tensor = apart) -> float:
        return agreement_slack(torch.tensor([ours]), torch.tensor([theirs]), lower, upper, y).item()

    assert slack([0, -2, -3], [0, -1.5, -4]) == -1.5
    assert slack([0, 2, -3], [0, 2, -4]) == 2
    # The teacher's margin and the difference hold the student where its own bound does not.
    assert slack([0, 0.5, -3], [0, -1.5, -4]) == -0.5
    assert slack([0, -3, -3], [0, 1, -4]) == -2
    assert slack([0, 0.5, -3], [0, -0.5, -4]) == 0.5
    # The true margins may be anything within the bounds: no slack below 0 where they make classes differ.
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        ours, theirs = (torch.randn(1, 3, generator=generator) for _ in range(2))
        ours[:, 0] = theirs[:, 0] = 0
        room = torch.rand(4, 1, 3, generator=generator) * (torch.rand(4, 1, 1, generator=generator) > 0.4)
        d = ours - theirs
        found = agreement_slack(ours + room[0], theirs + room[1], d - room[2], d + room[3], y)
        assert found >= 0 or (ours.argmax() == 0 and theirs.argmax() == 0)
        assert found >= torch.stack([ours, theirs])[:, :, 1:].max() - 1e-6


def test_a_contradiction_is_an_error_and_nothing_is_written(
    pair: tuple[nn.Module, nn.Module], tiny_data: Data, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    real = pair_stages.bound_pair

    def unsound(*arguments: Any) -> dict[str, Tensor]:
        found = real(*arguments)
        return {**found, "over": found["over"] - 0.3}

    monkeypatch.setattr(pair_stages, "bound_pair", unsound)
    with pytest.raises(BracketError, match=r"confidence gap \(over\) at eps 0.02: the attack found .* This is a bug"):
        calibrate(*pair, tiny_data, 0.02, **QUICK, out=tmp_path)
    assert not (tmp_path / "calibration.json").exists()

    def blind(*arguments: Any) -> dict[str, Tensor]:
        found = real(*arguments)
        return {**found, "agreement": torch.full_like(found["agreement"], -1.0)}

    monkeypatch.setattr(pair_stages, "bound_pair", blind)
    with pytest.raises(BracketError, match="disagreement at eps"):
        calibrate(Brightness(4.0, 0.55).eval(), Brightness(4.0, 0.5).eval(), grey(), 0.1, **QUICK)


def test_starts_belong_to_images(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    options: dict[str, Any] = {**QUICK, "steps": 1, "restarts": 4, "bounds": "none"}
    one, other = (calibrate(*pair, tiny_data, 0.1, **options, batch_size=size) for size in (7, 40))
    chosen = one.chosen()
    near = (one.calibration.lower - other.calibration.lower).abs()[:, chosen] < 1e-5
    assert near.float().mean() > 0.9, "but for the sign of a gradient near 0"
