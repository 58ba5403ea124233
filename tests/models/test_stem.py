"""A stem computes its convolution, and its input gradient, for any kernel, stride, padding and size."""

import pytest
import torch
from torch import nn

from robustill.models import attack_view, build_model
from robustill.models.stem import Stem, is_stem


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(4, 2, 1), (3, 2, 1), (7, 2, 3), (5, 3, 0), (2, 2, 0), (4, 4, 2)]
)
@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 9), (8, 11)])
def test_it_is_the_convolution(channels: int, kernel: int, stride: int, padding: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 5, kernel, stride=stride, padding=padding).double()
    assert is_stem(layer)
    stem = Stem(layer)
    stem.load(layer.weight, layer.bias)  # type: ignore[arg-type]
    x = torch.rand(3, channels, height, width, dtype=torch.float64, requires_grad=True)
    expected, found = layer(x), stem(x)
    torch.testing.assert_close(found, expected)
    weights = torch.rand_like(expected)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), x)
    (given,) = torch.autograd.grad((found * weights).sum(), x)
    torch.testing.assert_close(given, wanted)


def test_a_first_call_in_inference_mode_spoils_no_gradient() -> None:
    layer = nn.Conv2d(1, 2, 4, stride=2, padding=1)
    stem = Stem(layer)
    with torch.inference_mode():
        stem(torch.rand(2, 1, 8, 8))
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    (grad,) = torch.autograd.grad((stem(x) ** 2).sum() + x.sum(), x)
    assert bool((grad == 1).all())


def test_images_of_another_size() -> None:
    layer = nn.Conv2d(1, 2, 4, stride=2, padding=1)
    stem = Stem(layer)
    stem.load(layer.weight, 0.0)
    layer.bias.data.zero_()  # type: ignore[union-attr]
    for size in (8, 28, 9, 8):
        x = torch.rand(2, 1, size, size)
        torch.testing.assert_close(stem(x), layer(x))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 4, 3),
        nn.Conv2d(8, 4, 3, stride=2),
        nn.Conv2d(2, 4, 3, stride=2, groups=2),
        nn.Conv2d(1, 4, 3, stride=2, dilation=2),
        nn.Conv2d(1, 4, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.Conv2d(1, 4, 3, stride=(2, 1)),
        nn.Conv2d(1, 4, (3, 5), stride=2),
        nn.Conv2d(1, 4, 3, stride=2, padding=(1, 0)),
        nn.Conv2d(1, 4, 2, stride=3),
        nn.Conv1d(1, 4, 3, stride=2),
    ],
)
def test_what_is_left_as_it_is(layer: nn.Module) -> None:
    assert not is_stem(layer)


def test_a_view_has_one_and_refreshes_it() -> None:
    torch.manual_seed(0)
    model, x = build_model("cnn_small", num_classes=3, shape=(1, 12, 12)), torch.rand(4, 1, 12, 12)
    view = attack_view(model, sample=x)
    assert sum(isinstance(module, Stem) for module in view.modules()) == 1
    assert (view.folded, view.why) == (0, None)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    view.refresh()
    torch.testing.assert_close(view(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_behind_it_is_folded_into_it() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    norm.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    model = nn.Sequential(
        nn.Conv2d(1, 4, 4, stride=2, padding=1, bias=False), norm, nn.Flatten(), nn.Linear(64, 3)
    ).eval()
    x = torch.rand(4, 1, 8, 8)
    view = attack_view(model, sample=x)
    assert view.folded == 1
    assert any(isinstance(module, Stem) for module in view.modules())
    torch.testing.assert_close(view(x), model(x), rtol=1e-4, atol=1e-5)


def test_several_of_them_in_one_network() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 2, 4, stride=2, padding=1), nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3, stride=2, padding=1)]
    model = nn.Sequential(*layers, nn.BatchNorm2d(4), nn.Conv2d(4, 3, 2, stride=2), nn.Flatten()).eval()
    x = torch.rand(4, 1, 16, 16)
    view = attack_view(model, sample=x)
    assert sum(isinstance(module, Stem) for module in view.modules()) == 3
    assert (view.folded, view.why) == (2, None)
    torch.testing.assert_close(view(x), model(x), rtol=1e-4, atol=1e-5)
