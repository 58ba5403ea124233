"""Boxes that outgrow their type bound nothing, and spoil nothing else."""

import pytest
import torch
from torch import Tensor, nn

from robustill.certification import Bounder, PairBounder
from robustill.certification.interval import Interval, intersect


def deep(layers: int) -> nn.Module:
    torch.manual_seed(1)
    parts: list[nn.Module] = [nn.Flatten()]
    for _ in range(layers):
        layer = nn.Linear(64, 64)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(64, 5)).eval()


def held(box: Interval, value: Tensor) -> bool:
    assert not bool(torch.stack(tuple(box)).isnan().any())
    return bool(((box.lower <= value + 1e-5) & (value <= box.upper + 1e-5)).all())


@pytest.mark.parametrize("method", ["ibp", "crown-ibp"])
@torch.no_grad()
def test_what_overflows_is_no_bound_and_not_no_number(method: str) -> None:
    network, other = deep(60), nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).eval()
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    ours, theirs = (Bounder(each, x, 0.1, method) for each in (network, other))
    pair, logits = PairBounder(ours, theirs), network(x)
    assert held(ours.logits(), logits)
    assert ours.logits().upper.isinf().all()
    assert held(ours.margins(), logits[:, None] - logits[:, :, None])
    confidences, gap = ours.confidences(), pair.confidence_differences()
    assert held(confidences, logits.softmax(1))
    assert held(gap, logits.softmax(1) - other(x).softmax(1))
    assert held(pair.differences(), logits - other(x))
    assert confidences.lower.min() >= 0
    assert confidences.upper.max() <= 1
    # The other network's confidences are bounded as well as ever, so that the gap is.
    torch.testing.assert_close(gap.upper, 1 - theirs.confidences().lower)


def test_an_end_that_is_not_a_number_bounds_nothing() -> None:
    nan, inf = torch.nan, torch.inf
    first = Interval(torch.tensor([nan, 0.0, nan]), torch.tensor([1.0, nan, nan]))
    second = Interval(torch.tensor([-1.0, -1.0, nan]), torch.tensor([2.0, 2.0, nan]))
    for box in (intersect(first, second), intersect(second, first)):
        assert torch.stack(tuple(box)).tolist() == [[-1.0, 0.0, -inf], [1.0, 2.0, inf]]
    assert torch.stack(tuple(first.known(-5.0, 5.0))).tolist() == [[-5.0, 0.0, -5.0], [1.0, 5.0, 5.0]]
