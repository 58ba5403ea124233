"""A linear layer on maps whose channels are innermost computes what the one on flattened maps does."""

import pytest
import torch
from torch import Tensor, nn

from robustill.models import attack_view
from robustill.models.flat import FlatLinear


class _Net(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.hidden, self.head = nn.Conv2d(2, 3, 3), nn.Linear(48, 7), nn.Linear(7, 3)
        self.flatten = nn.Flatten(0) if way == "all" else nn.Flatten()
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x).relu()
        flat = {
            "module": lambda: self.flatten(maps),
            "function": lambda: torch.flatten(maps, 1),
            "method": lambda: maps.flatten(1),
            "keyword": lambda: maps.flatten(start_dim=1),
            "twice": lambda: maps.flatten(1),
            "all": lambda: self.flatten(maps).view(x.shape[0], -1),
        }[self.way]()
        logits: Tensor = self.head(self.hidden(flat).relu())
        return logits + flat[:, :3] if self.way == "twice" else logits


def _swapped(way: str, *, channels_last: bool = True) -> int:
    torch.manual_seed(0)
    model, x = _Net(way).double(), torch.rand(4, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    view = attack_view(model, dtype=torch.float64, sample=x.detach(), channels_last=channels_last)
    assert view.why is None
    expected, found = model(x), view(x)
    torch.testing.assert_close(found, expected)
    weights = torch.rand_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), x), torch.autograd.grad((expected * weights).sum(), x)
    )
    return sum(isinstance(module, FlatLinear) for module in view.modules())


@pytest.mark.parametrize("way", ["module", "function", "method"])
def test_each_way_to_flatten_is_found(way: str) -> None:
    assert _swapped(way) == 1


@pytest.mark.parametrize("way", ["keyword", "twice", "all"])
def test_what_is_no_plain_flattening_stays(way: str) -> None:
    assert _swapped(way) == 0


def test_maps_with_the_channels_outermost_are_flattened_as_they_lie() -> None:
    assert _swapped("module", channels_last=False) == 0


def test_the_head_stays_exact() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    view = attack_view(model, dtype=torch.bfloat16, sample=torch.rand(2, 1, 6, 6))
    assert not any(isinstance(module, FlatLinear) for module in view.modules())


def test_one_without_a_bias_is_refreshed_in_place() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 5, bias=False), nn.Linear(5, 3))
    x = torch.rand(3, 1, 6, 6)
    view = attack_view(model, sample=x)
    weight = next(module.weight for module in view.modules() if isinstance(module, FlatLinear))
    nn.init.normal_(model[2].weight)  # type: ignore[arg-type]
    view.refresh()
    assert weight is next(module.weight for module in view.modules() if isinstance(module, FlatLinear))
    torch.testing.assert_close(view(x), model(x))
