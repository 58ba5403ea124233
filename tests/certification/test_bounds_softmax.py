"""Bounds of confidences, and of the gap between two networks' confidences."""

import math

import pytest
import torch
from torch import Tensor, nn

from robustill.certification import (
    Bounder,
    Interval,
    PairBounder,
    bounds,
    confidence_bounds,
    confidence_difference_bounds,
)
from robustill.certification.softmax import chords, confidence_box, joint_gap, sigmoid_shift, tangent
from tests.certification.networks import Residual, convolutional, images, seen
from tests.certification.test_bounds_sound import assert_inside, assert_within

METHODS = ("ibp", "crown-ibp", "crown")
X = images()


def networks(scale: float = 4.0) -> tuple[nn.Module, nn.Module]:
    """Return two networks whose confidences differ and are not all alike."""
    torch.manual_seed(5)
    found = (convolutional(nn.ReLU()), Residual())
    for network in found:
        head = list(network.modules())[-1]
        with torch.no_grad():
            head.weight.mul_(scale)  # type: ignore[union-attr,operator]
    return found[0].double().eval(), found[1].double().eval()


STUDENT, TEACHER = networks()


def gap(temperature: float = 1.0):
    return lambda z: (STUDENT(z) / temperature).softmax(1) - (TEACHER(z) / temperature).softmax(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("norm", "eps", "temperature"), [("Linf", 0.05, 1.0), ("Linf", 0.1, 0.3), ("L2", 0.4, 2.0)])
def test_they_hold(method: str, norm: str, eps: float, temperature: float) -> None:
    alone = seen(lambda z: (STUDENT(z) / temperature).softmax(1), X, eps, norm)
    both = seen(gap(temperature), X, eps, norm)
    with torch.no_grad():
        pair = PairBounder(*(Bounder(each, X, eps, method, norm) for each in (STUDENT, TEACHER)))
        one = pair.student.confidences(temperature=temperature)
        other = pair.teacher.confidences(temperature=temperature)
        found = pair.confidence_differences(temperature=temperature)
        swapped = PairBounder(pair.teacher, pair.student).confidence_differences(temperature=temperature)
    assert_within(*alone, one)
    assert_within(*both, found)
    assert one.lower.min() >= 0
    assert one.upper.max() <= 1
    torch.testing.assert_close(found.lower, -swapped.upper)
    assert_inside(found, Interval(one.lower - other.upper, one.upper - other.lower))


@pytest.mark.parametrize("method", METHODS)
def test_without_a_radius_they_are_the_values(method: str) -> None:
    expected = gap()(X)
    for end in confidence_difference_bounds(STUDENT, TEACHER, X, 0, method):
        torch.testing.assert_close(end, expected, rtol=0, atol=1e-9)
    for end in confidence_bounds(STUDENT, X, 0, method):
        torch.testing.assert_close(end, STUDENT(X).softmax(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_one_class_per_image_is_the_same(method: str) -> None:
    classes = torch.tensor([2, 0, 1])
    with torch.no_grad():
        every = confidence_difference_bounds(STUDENT, TEACHER, X, 0.05, method)
        own = confidence_difference_bounds(STUDENT, TEACHER, X, 0.05, method, classes=classes)
        alone = confidence_bounds(STUDENT, X, 0.05, method, classes=classes)
        all_alone = confidence_bounds(STUDENT, X, 0.05, method)
    for one, other in ((every, own), (all_alone, alone)):
        for end, chosen in zip(one, other, strict=True):
            torch.testing.assert_close(end.gather(1, classes.unsqueeze(1)), chosen, rtol=1e-6, atol=1e-9)


def test_the_curves_are_much_tighter_than_the_boxes() -> None:
    with torch.no_grad():
        pair = PairBounder(Bounder(STUDENT, X, 0.03), Bounder(TEACHER, X, 0.03))
        direct = pair.confidence_differences()
        apart = [each.confidences() for each in (pair.student, pair.teacher)]
    assert direct.width.mean() < 0.9 * (apart[0].width + apart[1].width).mean()


def test_the_best_pair_of_slopes_among_many() -> None:
    """A network against itself: the gap is zero, and the bound is small beside the confidences' own intervals."""
    with torch.no_grad():
        each = Bounder(STUDENT, X, 0.03)
        found, own = PairBounder(each, each).confidence_differences(), each.confidences()
    assert (found.lower <= 0).all()
    assert (found.upper >= 0).all()
    assert found.width.mean() < own.width.mean()


def margins(count: int = 200, classes: int = 4) -> tuple[Interval, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.eye(classes, dtype=torch.float64)[:1].expand(count, 1, classes)
    middle = 3 * torch.randn(count, 1, classes, dtype=torch.float64, generator=generator)
    radius = 3 * torch.rand(count, 1, classes, dtype=torch.float64, generator=generator) ** 3
    radius[:5] = 0
    middle, radius = (each.masked_fill(target > 0, 0) for each in (middle, radius))
    return Interval(middle - radius, middle + radius), target


def inside(d: Interval, count: int = 500) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shares = torch.rand(count, *d.lower.shape, dtype=torch.float64, generator=generator)
    return d.lower + d.width * torch.cat([shares, shares.round()])


def test_the_box_of_margins() -> None:
    d, _ = margins()
    value = inside(d).softmax(3)[..., 0]
    box = confidence_box(d)
    assert (box.lower <= value.amin(0) + 1e-12).all()
    assert (box.upper >= value.amax(0) - 1e-12).all()
    point = Interval(d.lower, d.lower)
    torch.testing.assert_close(confidence_box(point).upper, d.lower.softmax(2)[..., 0])


def test_chords_and_tangent_enclose_the_softmax() -> None:
    d, target = margins()
    z = inside(d)
    below, above = chords(d, target), tangent(d, target)
    value = z.softmax(3)[..., 0]
    assert ((-below.scale).exp() / ((below.rows * z).sum(3) + below.shift) <= value + 1e-12).all()
    assert ((-(above.rows * z).sum(3) - above.shift).sigmoid() >= value - 1e-12).all()


def test_chords_touch_at_the_ends_and_the_tangent_in_the_middle() -> None:
    d, target = margins()
    below, above = chords(d, target), tangent(d, target)
    for end in d:
        found = (-below.scale).exp() / ((below.rows * end).sum(2) + below.shift)
        torch.testing.assert_close(found, end.softmax(2)[..., 0], rtol=1e-6, atol=0)
    middle = (d.lower + d.upper) / 2
    found = (-(above.rows * middle).sum(2) - above.shift).sigmoid()
    torch.testing.assert_close(found, middle.softmax(2)[..., 0])


def test_lines_above_the_sigmoid() -> None:
    generator = torch.Generator().manual_seed(0)
    middle, radius = 5 * torch.randn(300, dtype=torch.float64, generator=generator), torch.rand(300) * 6
    box = Interval(middle - radius, middle + radius)
    slope = torch.rand(300, dtype=torch.float64, generator=generator) / 4
    slope[:10] = 0
    o = box.lower + box.width * torch.linspace(0, 1, 2001, dtype=torch.float64).unsqueeze(1)
    gap = slope * o + sigmoid_shift(slope, box) - o.sigmoid()
    assert gap.min() > -1e-12
    assert gap.amin(0).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_line_over_the_sigmoid_of_the_flattest_slopes(dtype: torch.dtype) -> None:
    slope = torch.cat([torch.zeros(1), torch.logspace(-45, -4, 200)]).to(dtype)
    for low, high in ((-5.0, 40.0), (10.0, 25.0), (0.0, 200.0)):
        box = Interval(torch.full_like(slope, low), torch.full_like(slope, high))
        o = torch.linspace(low, high, 2001, dtype=torch.float64)[:, None]
        # From above, in what differs from 1: both sides are next to it.
        over = slope.double() * o + (-o).sigmoid() - (1 - sigmoid_shift(slope, box).double())
        assert float(over.min()) >= -2 * torch.finfo(dtype).eps
        assert float(over.amin(0).max()) < 1e-3, "the least"


def test_the_joint_gap() -> None:
    generator = torch.Generator().manual_seed(0)
    odds, shift = (
        Interval(middle - radius, middle + radius)
        for middle, radius in (
            (2 * torch.randn(300, 1, dtype=torch.float64, generator=generator), torch.rand(300, 1) * scale)
            for scale in (5, 2)
        )
    )
    grid = torch.linspace(0, 1, 201, dtype=torch.float64)
    o, s = odds.lower + odds.width * grid, shift.lower + shift.width * grid
    value = (o.unsqueeze(2) + s.unsqueeze(1)).sigmoid() - o.unsqueeze(2).sigmoid()
    found = joint_gap(odds, shift)
    torch.testing.assert_close(found.lower.squeeze(1), value.amin((1, 2)), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.upper.squeeze(1), value.amax((1, 2)), rtol=0, atol=1e-4)
    assert (found.lower.squeeze(1) <= value.amin((1, 2)) + 1e-12).all()
    assert (found.upper.squeeze(1) >= value.amax((1, 2)) - 1e-12).all()
    # The corollary that knows nothing of o.
    assert (found.upper <= torch.tanh(shift.upper.clamp(min=0) / 4) + 1e-12).all()


def test_extreme_logits_give_numbers() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(72, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    with torch.no_grad():
        network[3].weight.mul_(1e4)  # type: ignore[union-attr,operator]
        for method in METHODS:
            for end in confidence_difference_bounds(network, STUDENT.float(), X.float(), 0.3, method):
                assert end.isfinite().all()
                assert end.abs().max() <= 1
    STUDENT.double()


@pytest.mark.parametrize(("kind", "log"), [(nn.Softmax(1), False), (nn.LogSoftmax(-1), True)])
def test_a_network_that_ends_with_a_softmax(kind: nn.Module, log: bool) -> None:
    network = nn.Sequential(STUDENT, kind).eval()
    with torch.no_grad():
        found, expected = bounds(network, X, 0.05), confidence_bounds(STUDENT, X, 0.05)
        low, high = seen(network, X, 0.05)
    assert_within(low, high, found)
    for end, other in zip(found, expected, strict=True):
        torch.testing.assert_close(end, other.log() if log else other)
    rows = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    with torch.no_grad():
        box = bounds(network, X, 0.05, rows=rows)
    assert_within(*seen(lambda z: network(z) @ rows.t(), X, 0.05), box)


def test_known_values() -> None:
    """Two classes whose margin is the one pixel: the confidence is a sigmoid of it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False)).double().eval()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0], [0.0]]))  # type: ignore[union-attr,operator]
    x = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    lower, upper = confidence_bounds(network, x, 0.25, "crown-ibp", classes=[0])
    assert lower.item() == pytest.approx(1 / (1 + math.exp(-0.25)))
    assert upper.item() == pytest.approx(1 / (1 + math.exp(-0.75)))
