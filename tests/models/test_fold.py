"""What `attack_view` folds, in every architecture, and what it must not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robustill.models import attack_view, build_model
from tests.models.stirred import Block, X, assert_equal, gradient, logits, plain, small, stirred

# Name, arguments, images, batch norms that can be folded.
ARCHITECTURES = [
    ("cnn_small", {}, (1, 28, 28), 0),
    ("cnn_wide", {}, (3, 8, 8), 0),
    ("resnet18", {"width": 8}, (3, 16, 16), 20),
    ("preact_resnet18", {"width": 8}, (3, 16, 16), 8),
    ("preact_resnet18", {"width": 8, "final_norm": True}, (3, 16, 16), 8),
    ("mobilenet_v2", {}, (3, 16, 16), 57),
    ("wide_resnet", {"depth": 10, "width": 1}, (3, 16, 16), 3),
    ("wide_resnet", {"depth": 16, "width": 2, "activation": "silu", "padding": "bottom-right"}, (3, 16, 16), 7),
]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "arguments", "shape", "folded"), ARCHITECTURES)
@pytest.mark.parametrize("channels_last", [True, False])
def test_every_architecture_gives_its_logits_and_gradients(name, arguments, shape, folded, channels_last) -> None:
    moments = {"mean": [0.4] * shape[0], "std": [0.2] * shape[0]}
    network = stirred(build_model(name, num_classes=5, shape=shape, **moments, **arguments))
    x = torch.rand(4, *shape)
    view = attack_view(network, channels_last=channels_last)
    assert (view.folded, view.why, view.dtype) == (folded, None, torch.float32)
    assert_equal(view, network, x)
    expected = gradient(network, x)
    torch.testing.assert_close(gradient(view, x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in view.modules()) == len(norms) - folded


def test_folding_is_exact_in_float64() -> None:
    network = small().double()
    view = attack_view(network, dtype=torch.float64)
    torch.testing.assert_close(view(X.double()), logits(network, X.double()), rtol=1e-12, atol=1e-12)


def test_a_plain_sequence_folds_also_grouped_unbiased_and_linear_layers() -> None:
    network = plain()
    view = attack_view(network, sample=X)
    assert (view.folded, view.why) == (3, None)
    assert_equal(view, network)


class Tokens(nn.Module):
    """A batch norm after a linear layer that normalises the tokens, of which there are as many as features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.head = nn.Linear(8, 3), nn.BatchNorm1d(3), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.linear(x[:, :, 0])).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("sample", [None, X])
def test_a_norm_of_another_axis_is_not_folded(sample: Tensor | None) -> None:
    network = stirred(Tokens())
    view = attack_view(network, sample=sample)
    assert (view.folded, view.why) == (0, None)
    assert_equal(view, network)


KINDS = {"output used twice": 0, "two norms": 0, "layer called twice": 0, "norm called twice": 1, "weight read": 1}


@pytest.mark.parametrize(("kind", "folded"), KINDS.items())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_an_output_that_is_used_once_is_folded(kind: str, folded: int, dtype: torch.dtype) -> None:
    network = stirred(Block(kind))
    view = attack_view(network, dtype=dtype)
    assert (view.folded, view.why, view.dtype) == (folded, None, dtype)
    loose = {"rtol": 0.02, "atol": 0.02} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(view(X), logits(network, X), **loose)
    stirred(network)
    nn.init.normal_(network.conv.weight, 0, 0.1)
    view.refresh()
    torch.testing.assert_close(view(X), logits(network, X), **loose)


def test_tied_layers_and_norms_of_the_batch_stay_right() -> None:
    conv, tied = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
    tied.weight = conv.weight
    batch = nn.BatchNorm2d(3, track_running_stats=False)
    layers = [conv, nn.BatchNorm2d(3), tied, nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), batch, conv]
    network = stirred(nn.Sequential(*layers, nn.Flatten(), nn.Linear(108, 4)))
    view = attack_view(network)
    assert (view.folded, view.why) == (1, None)
    assert_equal(view, network)


class Odd(nn.BatchNorm2d):
    __module__ = "torch.nn.odd"  # as those of quantisation: not traced into

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).abs()


def test_a_subclass_of_batch_norm_is_not_folded() -> None:
    network = stirred(nn.Sequential(nn.Conv2d(3, 4, 3), Odd(4), nn.Flatten(), nn.Linear(144, 4)))
    view = attack_view(network)
    assert view.folded == 0
    assert_equal(view, network)
