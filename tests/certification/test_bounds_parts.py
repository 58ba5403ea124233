"""Parts of the engine by themselves."""

import pytest
import torch
from torch import nn

from robustill.certification import Bounder, bounds, confidence_bounds
from robustill.certification.forms import Forms
from robustill.certification.interval import Interval, intersect
from robustill.certification.known import MODULES
from robustill.certification.layers import Call, Var
from robustill.certification.tighten import row_bytes, tightened
from tests.certification.networks import convolutional, images


def pool() -> object:
    return MODULES[nn.MaxPool2d](Call((Var(0, (1, 2, 2)),), {}, (1, 1, 1)), nn.MaxPool2d(2))


@pytest.mark.parametrize(
    ("lower", "upper", "certain"),
    [
        ([0.0, 1, 2, 5], [1.0, 2, 3, 6], True),
        ([0.0, 1, 2, 5], [1.0, 2, 5, 6], True),
        ([0.0, 1, 2, 5], [1.0, 2, 5.5, 6], False),
        # The largest lower bound, but another pixel may be larger.
        ([0.0, 1, 3, 5], [1.0, 2, 7, 5], False),
    ],
)
def test_when_the_largest_pixel_is_known(lower: list[float], upper: list[float], certain: bool) -> None:
    box = Interval(*(torch.tensor(end).reshape(1, 1, 2, 2) for end in (lower, upper)))
    place, known, most = pool().relax(box)  # type: ignore[attr-defined]
    assert place.item() == 3
    assert known.item() is certain
    assert most.item() == max(upper)


@pytest.mark.parametrize("shape", [(3, 2, 4, 4), (3, 10)])
@pytest.mark.parametrize("chunk", [1, 3000, 10**9])
def test_only_what_is_flagged_is_tightened(shape: tuple[int, ...], chunk: int) -> None:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(shape, generator=generator)
    flags = torch.rand(shape, generator=generator) < 0.3
    box = Interval(value - 1, value + 1)

    def lower(forms: Forms) -> torch.Tensor:
        # Of the value itself, a little below.
        assert forms.pick is not None
        own = forms.own()
        return (own.a * own.spread(value).unsqueeze(1)).flatten(2).sum(2) - 0.25

    found = tightened(box, flags, 8, chunk, lower)
    expected = torch.where(flags, 0.25, 1.0)
    torch.testing.assert_close(found.lower, value - expected)
    torch.testing.assert_close(found.upper, value + expected)


def test_intersection_keeps_the_order() -> None:
    one, other = (
        Interval(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])),
        Interval(torch.zeros(2), torch.ones(2) - 1e-7),
    )
    found = intersect(one, other)
    assert (found.lower <= found.upper).all()
    assert found.lower[0] == 0
    assert found.upper[0] == one.upper[0] - 1e-7


def test_the_memory_of_a_row_counts_windows() -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 2)
    )
    bounder = Bounder(network.eval(), torch.rand(1, 2, 20, 20), 0.1, "ibp")
    ops, like = bounder.graph.ops, bounder.x
    # Two channels of 5x5, against four of 3x3; in the whole image 8 of 16x16.
    assert row_bytes(ops, 3, like) == 4 * 4 * max(2 * 25, 4 * 9)
    assert row_bytes(ops, len(ops) - 1, like) == 4 * 4 * 8 * 256


def test_many_classes_in_little_memory() -> None:
    torch.manual_seed(0)
    network = convolutional(nn.ReLU()).double().eval()
    network[-1] = nn.Linear(7, 30).double().eval()
    x = images(2)
    with torch.no_grad():
        whole, pieces = (confidence_bounds(network, x, 0.05, chunk=chunk) for chunk in (10**9, 10**4))
        value = network(x).softmax(1)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert (whole.lower <= value).all()
    assert (whole.upper >= value).all()


def test_a_batch_norm_is_folded_where_nothing_else_reads_its_layer() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Linear(72, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.conv(x)
            return self.head((out + self.norm(out)).flatten(1))  # type: ignore[no-any-return]

    network = Twice().double().eval()
    network.norm.running_mean.fill_(0.5)
    folded = nn.Sequential(network.conv, nn.Identity(), network.norm, nn.ReLU(), nn.Flatten(), network.head).eval()
    names = [[op.name for op in Bounder(each, images(), 0.1).graph.ops[1:]] for each in (network, folded)]
    assert names[0] == ["conv (Conv2d)", "norm (BatchNorm2d)", "add", "flatten", "head (Linear)"]
    assert names[1] == ["0 (Conv2d)", "3 (ReLU)", "4 (Flatten)", "5 (Linear)"]
    point = bounds(network, images(), 0)
    torch.testing.assert_close(point.lower, network(images()))
