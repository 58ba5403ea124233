"""Lines around activations hold everywhere on their interval, and touch."""

import pytest
import torch
from torch import Tensor

from robustill.certification.interval import Interval
from robustill.certification.lines import CURVES, Curve, Lines, clipped, relu_lines

CASES = {**CURVES, "hardtanh": clipped(-1.0, 1.0)}


def intervals(count: int = 400) -> Interval:
    generator = torch.Generator().manual_seed(0)
    middle = 4 * torch.randn(count, dtype=torch.float64, generator=generator)
    radius = 10 ** (4 * torch.rand(count, dtype=torch.float64, generator=generator) - 3)
    return Interval(middle - radius, middle + radius)


def inside(box: Interval, points: int = 4001) -> Tensor:
    shares = torch.linspace(0, 1, points, dtype=torch.float64).unsqueeze(1)
    return box.lower + shares * box.width


def gaps(curve: Curve, lines: Lines, box: Interval) -> tuple[Tensor, Tensor]:
    z = inside(box)
    value = curve.value(z)
    below = (value - lines.lower_slope * z - lines.lower_shift).amin(0)
    above = (lines.upper_slope * z + lines.upper_shift - value).amin(0)
    return below, above


@pytest.mark.parametrize("name", CASES)
def test_lines_hold_and_touch(name: str) -> None:
    box = intervals()
    for gap in gaps(CASES[name], CASES[name].lines(box), box):
        assert gap.min() > -1e-9
        # A line that touches nowhere gives width away; the grid misses the point by little.
        assert (gap / box.width.clamp(min=1)).max() < 1e-3


@pytest.mark.parametrize("name", CASES)
def test_range_is_exact(name: str) -> None:
    box = intervals()
    value, found = CASES[name].value(inside(box)), CASES[name].interval(box)
    assert (found.lower <= value.amin(0) + 1e-12).all()
    assert (found.upper >= value.amax(0) - 1e-12).all()
    torch.testing.assert_close(found.lower, value.amin(0), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.upper, value.amax(0), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_slopes_are_the_derivative(name: str) -> None:
    z = torch.linspace(-9, 9, 1001, dtype=torch.float64).add(1e-4).requires_grad_()
    (expected,) = torch.autograd.grad(CASES[name].value(z).sum(), z)
    torch.testing.assert_close(CASES[name].slope(z), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, curve in CASES.items() if not curve.kinks])
def test_the_derivative_is_monotone_between_bends(name: str) -> None:
    z = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    steps = CASES[name].slope(z).diff()
    part = torch.bucketize(z[1:] - 6e-4, torch.tensor(CASES[name].bends, dtype=torch.float64))
    for index in range(len(CASES[name].bends) + 1):
        own = steps[part == index][2:-2]
        assert (own > -1e-11).all() or (own < 1e-11).all()


@pytest.mark.parametrize("negative", [0.0, 0.2, 1.0])
def test_relu_lines(negative: float) -> None:
    box = intervals()
    curve = Curve(lambda z: torch.where(z > 0, z, negative * z), lambda z: z)
    lines = relu_lines(box, negative)
    for gap in gaps(curve, lines, box):
        assert gap.min() > -1e-12
        assert (gap / box.width.clamp(min=1)).max() < 1e-3
    stable = (box.lower >= 0) | (box.upper <= 0)
    assert torch.equal(lines.lower_slope[stable], lines.upper_slope[stable])
    assert (lines.upper_shift[stable] == 0).all()
    # Of the branches below, the one that leaves the smaller area.
    steep = ~stable & (box.upper > -box.lower)
    assert (lines.lower_slope[steep] == 1).all()
    assert (lines.lower_slope[~stable & ~steep] == negative).all()


def test_a_point_has_the_value_of_the_function() -> None:
    point = torch.linspace(-5, 5, 11, dtype=torch.float64)
    for curve in CASES.values():
        lines = curve.lines(Interval(point, point))
        torch.testing.assert_close(lines.lower_slope * point + lines.lower_shift, curve.value(point))
        torch.testing.assert_close(lines.upper_slope * point + lines.upper_shift, curve.value(point))
