"""What cannot be bounded is one clear error."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.certification import Bounder, PairBounder, bounds, confidence_bounds, difference_bounds
from robustill.errors import InputError, ModelError
from robustill.models import Frozen, build_model

X = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def plain(*middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(*middle, nn.Flatten(), nn.Linear(16, 3)).eval()


class Calls(nn.Module):
    def __init__(self, how) -> None:
        super().__init__()
        self.how, self.head = how, nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.how(x).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": -0.1}, "eps -0.1 is not in"),
        ({"eps": 8}, "8 -> use 8/255"),
        ({"eps": float("nan")}, "one finite number"),
        ({"eps": torch.tensor(0.1)}, "one finite number"),
        ({"eps": True}, "one finite number"),
        ({"eps": 5.0, "norm": "L2"}, r"not in \[0, 4\]"),
        ({"method": "crown-ipb"}, "did you mean 'crown-ibp'"),
        ({"norm": "linf"}, "did you mean 'Linf'"),
        ({"x": X + 1}, r"lie in \[0, 1\]"),
        ({"x": 255 * X}, "divide by 255"),
        ({"x": X.double()}, "float64 on cpu, 1.weight is torch.float32"),
        ({"rows": torch.eye(4)}, r"rows must be \[S, 3\]"),
        ({"rows": torch.ones(3, 1, 3)}, r"\[2, S, 3\]"),
        ({"chunk": 0}, "positive number of bytes"),
    ],
)
def test_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bounds(plain(), **{"x": X, "eps": 0.1, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": torch.tensor([0, 3])}, "labels run from 0 to 3"),
        ({"classes": torch.tensor([0])}, r"int64 \[2\]"),
        ({"temperature": 0}, "positive number"),
        ({"temperature": "1"}, "positive number"),
    ],
)
def test_confidence_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        confidence_bounds(plain(), X, 0.1, **arguments)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (plain(nn.ELU()), r"no bounds for 0 \(ELU\): this operation is not covered"),
        (plain(nn.GroupNorm(1, 1)), r"0 \(GroupNorm\)"),
        (plain(nn.Softmax(1)), "follows a softmax"),
        (plain(nn.BatchNorm2d(1, track_running_stats=False)), "statistics of the batch"),
        (plain(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")), "padding_mode='circular'"),
        (plain(nn.LeakyReLU(-1.0)), "slope -1 below zero"),
        (Calls(lambda x: x * x.relu()), "mul of two values that both depend on the images"),
        (Calls(lambda x: 1 / (x + 1)), "division by values"),
        (Calls(torch.exp), "no bounds for exp"),
        (Calls(lambda x: x + x.max(1, keepdim=True)[0].mean()), "no bounds for max: it returns several tensors"),
        (Calls(lambda x: F.max_pool2d(x, 3, 1, 1, ceil_mode=True)), "max_pool2d: ceil_mode"),
        (Calls(lambda x: x - x.mean(0, keepdim=True)), "mixes the images of a batch"),
        (Calls(lambda x: x if x.sum() > 0 else -x), "cannot be traced"),
        (Calls(lambda x: x + torch.rand(1)), "cannot be traced: it draws random numbers"),
        (Calls(lambda x: (4 * x).to(torch.int64).to(x.dtype)), "do not compute its logits"),
        (nn.Sequential(nn.Conv2d(1, 2, 3)), r"returns logits \[B, classes\]"),
    ],
)
def test_networks(network: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        bounds(network.eval(), X, 0.1)


def test_the_supported_operations_are_listed() -> None:
    with pytest.raises(ModelError, match="supported are linear layers, 2-d convolutions"):
        bounds(plain(nn.ELU()), X, 0.1)


def test_train_mode() -> None:
    network = plain(nn.Dropout())
    network[0].train()
    with pytest.raises(ModelError, match=r"0 is in train mode(.|\n)*\.eval\(\)"):
        bounds(network, X, 0.1)
    with pytest.raises(ModelError, match="the network is in train mode"):
        bounds(network.train(), X, 0.1)


def test_hooks() -> None:
    network = plain()
    network[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    with pytest.raises(ModelError, match="its 0 has hooks"):
        bounds(network, X, 0.1)


@pytest.mark.parametrize("method", ["ibp", "crown"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 3e38])
def test_logits_that_are_not_finite(value: float, method: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    nn.init.ones_(network[1].bias)
    nn.init.constant_(network[3].weight, value)
    with pytest.raises(ModelError, match="infinite or undefined logits, which have no bounds"):
        bounds(network, X, 0.1, method)


def test_pairs_see_the_same() -> None:
    one = Bounder(plain(), X, 0.1)
    others = (Bounder(plain(), X, 0.2), Bounder(plain(), X.flip(0), 0.1), Bounder(plain(), X, 0.1, norm="L2"))
    for other in others:
        with pytest.raises(InputError, match="same images, radius"):
            PairBounder(one, other)
    with pytest.raises(ModelError, match="ends with a softmax"):
        difference_bounds(plain(), nn.Sequential(plain(), nn.Softmax(1)).eval(), X, 0.1)


def test_a_frozen_teacher() -> None:
    network = build_model("cnn_small", num_classes=3, shape=(1, 8, 8)).eval()
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        expected, found = bounds(network, x, 0.01), bounds(Frozen(network), x, 0.01)
    assert torch.equal(expected.lower, found.lower)


def test_float32_and_float64_agree() -> None:
    network = build_model("cnn_small", num_classes=3, shape=(1, 8, 8)).eval()
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        single, double = bounds(network, x, 0.01), bounds(network.double(), x.double(), 0.01)
    assert double.lower.dtype == torch.float64
    torch.testing.assert_close(single.lower.double(), double.lower, rtol=1e-3, atol=1e-5)
