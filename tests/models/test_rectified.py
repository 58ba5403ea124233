"""A convolution and its ReLU in one pass: the same values and input gradients, and nothing else is taken together."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.models import attack_view, build_model
from robustill.models.rectified import ConvReLU, conv_relu
from robustill.models.stem import Stem


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 4)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients(
    dtype: torch.dtype, stride: int, padding: int, dilation: int, groups: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 9, 8, dtype=dtype).to(memory_format=layout).requires_grad_()
    weight, bias = torch.randn(8, 4 // groups, 3, 3, dtype=dtype).to(memory_format=layout), torch.randn(8, dtype=dtype)
    options = (stride,) * 2, (padding,) * 2, (dilation,) * 2, groups
    expected, found = F.relu(F.conv2d(x, weight, bias, *options)), conv_relu(x, weight, bias, *options)
    assert found.min() == 0
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(conv_relu(x, weight, bias, *options), expected)
    up = torch.randn_like(expected)
    torch.testing.assert_close(torch.autograd.grad(found, x, up), torch.autograd.grad(expected, x, up))


def test_no_images_give_no_maps() -> None:
    assert conv_relu(torch.rand(0, 1, 5, 5), torch.rand(2, 1, 3, 3), torch.rand(2)).shape == (0, 2, 3, 3)


class _Net(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 6, 3, bias=False), nn.Conv2d(6, 3, 1)
        self.norm, self.relu, self.six = nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.ReLU6()
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        maps = self.first(x)
        after = {
            "module": lambda: self.relu(maps),
            "function": lambda: F.relu(maps, inplace=True),
            "torch": lambda: torch.relu(maps),
            "method": lambda: maps.relu(),
            "norm": lambda: self.relu(self.norm(maps)),
            "twice": lambda: maps.relu() + maps,
            "six": lambda: self.six(maps),
            "product": lambda: maps * maps.relu(),
        }[self.way]()
        logits: Tensor = self.second(after).mean((2, 3))
        return logits


@pytest.mark.parametrize(
    ("way", "count"),
    [
        ("module", 1),
        ("function", 1),
        ("torch", 1),
        ("method", 1),
        ("norm", 1),
        ("twice", 0),
        ("six", 0),
        ("product", 0),
    ],
)
def test_what_is_taken_together(way: str, count: int) -> None:
    torch.manual_seed(0)
    model, x = _Net(way).eval(), torch.randn(4, 4, 6, 6)
    model.norm.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    view = attack_view(model, sample=x)
    assert view.why is None
    assert sum(isinstance(module, ConvReLU) for module in view.modules()) == count
    torch.testing.assert_close(view(x), model(x))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    view.refresh()
    torch.testing.assert_close(view(x), model(x))


def test_other_paddings_stay_as_they_are() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding="same"), nn.ReLU(), nn.Conv2d(6, 2, 3, padding_mode="circular"), nn.ReLU()
    )
    x = torch.randn(2, 4, 6, 6)
    view = attack_view(model, sample=x)
    assert not any(isinstance(module, ConvReLU) for module in view.modules())
    torch.testing.assert_close(view(x), model(x))


def test_a_stem_takes_its_relu_along() -> None:
    view = attack_view(build_model("cnn_small", num_classes=3, shape=(1, 12, 12)), sample=torch.rand(2, 1, 12, 12))
    (stem,) = (module for module in view.modules() if isinstance(module, Stem))
    assert stem.rectified
    assert sum(isinstance(module, nn.ReLU) for module in view.modules()) == 1


def test_a_residual_network_keeps_its_sums() -> None:
    torch.manual_seed(0)
    model, x = build_model("resnet18", num_classes=10, width=8).eval(), torch.rand(2, 3, 32, 32)
    view = attack_view(model, sample=x)
    assert sum(isinstance(module, ConvReLU) for module in view.modules()) == 9
    torch.testing.assert_close(view(x), model(x), rtol=1e-3, atol=1e-4)
