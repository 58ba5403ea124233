"""Bounds contain everything that sampling and attacks find, on networks of every kind."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from robustill.certification import Interval, bounds, difference_bounds
from tests.certification.networks import ARCHITECTURES, architecture, images, of_every_kind, seen

KINDS = {name: (network, x) for name, network, x in of_every_kind()}
METHODS = ("ibp", "crown-ibp", "crown")
ROWS = torch.tensor([[1.0, -1.0, 0.0], [-0.5, 0.25, 2.0]], dtype=torch.float64)


def assert_within(low: Tensor, high: Tensor, box: Interval) -> None:
    assert (box.lower <= low + 1e-9).all()
    assert (box.upper >= high - 1e-9).all()


def assert_inside(inner: Interval, outer: Interval) -> None:
    assert (inner.lower >= outer.lower - 1e-9).all()
    assert (inner.upper <= outer.upper + 1e-9).all()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.06), ("L2", 0.4)])
def test_every_kind(name: str, norm: str, eps: float) -> None:
    network, x = KINDS[name]
    logits = seen(network, x, eps, norm)
    margins = seen(lambda z: network(z) @ ROWS.t(), x, eps, norm)
    with torch.no_grad():
        boxes = [bounds(network, x, eps, method, norm) for method in METHODS]
        rows = [bounds(network, x, eps, method, norm, rows=ROWS) for method in METHODS]
        points = [bounds(network, x, 0, method, norm) for method in METHODS]
        expected = network(x)
    for box, row, point in zip(boxes, rows, points, strict=True):
        assert_within(*logits, box)
        assert_within(*margins, row)
        for end in point:
            torch.testing.assert_close(end, expected, rtol=0, atol=1e-9)
    assert_inside(boxes[1], boxes[0])
    assert_inside(boxes[2], boxes[0])
    assert boxes[2].width.sum() <= boxes[1].width.sum() * 1.001


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str) -> None:
    network, x, eps = architecture(name), images(2, (3, 8, 8)), 0.004
    # CROWN for all layers of the widest would take minutes.
    methods = METHODS if name != "mobilenet_v2" else METHODS[:2]
    low, high = seen(network, x, eps, steps=4)
    with torch.no_grad():
        boxes = [bounds(network, x, eps, method) for method in methods]
        for method in methods:
            point = bounds(network, x, 0, method)
            torch.testing.assert_close(point.lower, network(x), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(point.upper, network(x), rtol=1e-9, atol=1e-9)
    for box in boxes:
        assert_within(low, high, box)
        assert_inside(box, boxes[0])


@pytest.mark.parametrize(("norm", "largest"), [("Linf", 0.2), ("L2", 1.5)])
@pytest.mark.parametrize("method", METHODS)
def test_a_larger_ball_has_wider_bounds(norm: str, largest: float, method: str) -> None:
    network, x = KINDS["relu()"]
    with torch.no_grad():
        boxes = [bounds(network, x, largest * share, method, norm) for share in (0, 0.1, 0.3, 0.6, 1)]
    for smaller, larger in itertools.pairwise(boxes):
        assert smaller.width.sum() < larger.width.sum()
    if method == "ibp":
        for smaller, larger in itertools.pairwise(boxes):
            assert_inside(smaller, larger)


def test_linear_networks_are_exact() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 3)).double().eval()
    x, eps = images(), 0.2
    w = torch.autograd.functional.jacobian(lambda z: network(z).sum(0), x)
    w = w.movedim(0, 1).flatten(2)
    low, high = (x - eps).clamp(0, 1).flatten(1).unsqueeze(1), (x + eps).clamp(0, 1).flatten(1).unsqueeze(1)
    ends = [torch.where(w > 0, low, high), torch.where(w > 0, high, low)]
    expected = [network(x) + (w * (end - x.flatten(1).unsqueeze(1))).sum(2) for end in ends]
    for method in METHODS:
        box = bounds(network, x, eps, method)
        if method == "ibp":
            # Intervals forget that the pixels of two outputs of the convolution are the same.
            assert_within(expected[0], expected[1], box)
            box = bounds(network, x, eps, method, rows=torch.eye(3))
        torch.testing.assert_close(box.lower, expected[0])
        torch.testing.assert_close(box.upper, expected[1])
    size = w.norm(dim=2)
    for method in METHODS:
        box = bounds(network, x, eps, method, "L2", clip=False)
        torch.testing.assert_close(box.upper, network(x) + eps * size)
        torch.testing.assert_close(box.lower, network(x) - eps * size)


@pytest.mark.parametrize("shift", [-2.0, -0.3, 0.1, 3.0])
def test_one_neuron_is_exact(shift: float) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.ReLU()).double().eval()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, -2.0, 0.5, 1.5]]))  # type: ignore[union-attr]
        network[1].bias.fill_(shift)  # type: ignore[union-attr]
    x = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    middle = 0.5 + shift
    for method in METHODS:
        lower, upper = bounds(network, x, 0.1, method)
        assert lower.item() == pytest.approx(max(0.0, middle - 0.5))
        assert upper.item() == pytest.approx(max(0.0, middle + 0.5))


@pytest.mark.parametrize("method", METHODS)
def test_differences(method: str) -> None:
    student, teacher = KINDS["relu()"][0], KINDS["residual"][0]
    x, eps = images(), 0.05
    low, high = seen(lambda z: student(z) - teacher(z), x, eps)
    with torch.no_grad():
        box = difference_bounds(student, teacher, x, eps, method)
        swapped = difference_bounds(teacher, student, x, eps, method)
        apart = [bounds(each, x, eps, method) for each in (student, teacher)]
    assert_within(low, high, box)
    torch.testing.assert_close(box.lower, -swapped.upper)
    assert_inside(box, Interval(apart[0].lower - apart[1].upper, apart[0].upper - apart[1].lower))
    if method != "ibp":
        assert box.width.sum() < 0.98 * (apart[0].width + apart[1].width).sum()


def test_a_linear_network_differs_from_itself_by_nothing() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.Linear(4, 3)).double().eval()
    for norm in ("Linf", "L2"):
        box = difference_bounds(network, network, images(), 0.3, "crown-ibp", norm)
        assert max(box.lower.abs().max(), box.upper.abs().max()) < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_images_do_not_change_each_others_bounds(method: str) -> None:
    network, x = KINDS["residual"]
    mixed = torch.cat([x, torch.zeros_like(x), torch.ones_like(x)])
    with torch.no_grad():
        alone, together = bounds(network, x, 0.05, method), bounds(network, mixed, 0.05, method)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other[:3], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["relu()", "residual", "max", "stride"])
def test_small_memory_gives_the_same_bounds(name: str) -> None:
    network, x = KINDS[name]
    with torch.no_grad():
        whole, pieces = bounds(network, x, 0.05), bounds(network, x, 0.05, chunk=20_000)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_rows_of_each_image() -> None:
    network, x = KINDS["relu()"]
    rows = torch.randn(3, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        box = bounds(network, x, 0.05, rows=rows)
        for index in range(3):
            own = bounds(network, x[index : index + 1], 0.05, rows=rows[index])
            torch.testing.assert_close(box.lower[index], own.lower[0])
            torch.testing.assert_close(box.upper[index], own.upper[0])


def test_no_images() -> None:
    network, x = KINDS["relu()"]
    for method in METHODS:
        assert bounds(network, x[:0], 0.1, method).lower.shape == (0, 3)
