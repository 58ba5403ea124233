"""The networks against published parameter counts and against forward passes retyped with functional calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.models import MODELS, build_model

State = dict[str, Tensor]

PUBLISHED = {
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "preact_resnet18": 11_171_146,
    "mobilenet_v2": 2_296_922,
    "wrn_28_10": 36_479_194,
    "wrn_34_10": 46_160_474,
    "wrn_70_16": 266_796_506,
}
SMALL = [
    ("cnn_small", (1, 28, 28), {}),
    ("cnn_small", (1, 8, 8), {}),
    ("cnn_wide", (1, 8, 8), {}),
    ("cnn_wide", (3, 9, 15), {}),
    ("resnet18", (3, 32, 32), {"width": 4}),
    ("resnet34", (1, 8, 8), {"width": 4}),
    ("preact_resnet18", (3, 32, 32), {"width": 4}),
    ("preact_resnet18", (3, 64, 64), {"width": 4, "final_norm": True}),
    ("mobilenet_v2", (3, 16, 16), {}),
    ("wide_resnet", (3, 32, 32), {"depth": 10, "width": 1}),
    ("wide_resnet", (3, 32, 32), {"depth": 16, "width": 2, "activation": "silu"}),
    ("wide_resnet", (3, 24, 24), {"depth": 16, "width": 1, "padding": "bottom-right"}),
]


def count(name: str, shape: tuple[int, int, int] = (3, 32, 32), **arguments: object) -> int:
    with torch.device("meta"):
        model = build_model(name, num_classes=10, shape=shape, **arguments)
    return sum(parameter.numel() for parameter in model.parameters())


def wide_count(depth: int, width: int) -> int:
    """Closed formula: stem, three stages of n blocks (two 3x3 convolutions, two norms), projections, norm, head."""
    total, before = 3 * 9 * 16, 16
    for stage in (16 * width, 32 * width, 64 * width):
        for _ in range((depth - 4) // 6):
            total += 9 * before * stage + 9 * stage * stage + 2 * before + 2 * stage
            total += before * stage if before != stage else 0
            before = stage
    return total + 2 * before + 10 * before + 10


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_parameter_counts_are_the_published_ones(name: str, parameters: int) -> None:
    assert count(name) == parameters


@pytest.mark.parametrize(("depth", "width"), [(22, 6), (28, 10), (34, 10), (34, 20), (70, 16)])
def test_wide_resnets_have_the_size_of_their_name(depth: int, width: int) -> None:
    assert count(f"wrn_{depth}_{width}") == wide_count(depth, width)
    assert count("wide_resnet", depth=depth, width=width) == wide_count(depth, width)


def test_plain_networks_have_the_published_layers() -> None:
    small = (16 * 16 + 16) + (16 * 16 * 32 + 32) + (32 * 7 * 7 * 100 + 100) + 1010
    assert count("cnn_small", (1, 28, 28)) == small == 166_406
    model = build_model("cnn_wide", num_classes=10, shape=(1, 28, 28))
    shapes = [tuple(p.shape) for n, p in model.named_parameters() if n.endswith("weight")]
    assert shapes == [
        (32, 1, 3, 3),
        (32, 32, 4, 4),
        (64, 32, 3, 3),
        (64, 64, 4, 4),
        (512, 64 * 7 * 7),
        (512, 512),
        (10, 512),
    ]


@pytest.mark.parametrize(("name", "shape", "arguments"), SMALL)
def test_every_parameter_and_the_input_get_a_gradient(name, shape, arguments) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=7, shape=shape, mean=[0.4] * shape[0], std=[0.2] * shape[0], **arguments)
    x = torch.rand(4, *shape, requires_grad=True)
    logits = model(x)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 6])).backward()
    assert logits.shape == (4, 7)
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_is_traceable_and_made_of_plain_modules(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=10, mean=[0.5] * 3, std=[0.25] * 3)
    traced = torch.fx.symbolic_trace(model)
    assert traced(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 10)
    plain = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.SiLU, nn.Linear, nn.Flatten, nn.AdaptiveAvgPool2d)
    plain = (*plain, nn.Identity, nn.ZeroPad2d, nn.Sequential)
    leaves = [m for n, m in model.named_modules() if not list(m.children()) and n != "normalize"]
    assert [m for m in leaves if not isinstance(m, plain)] == []
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert len(calls) == len(set(calls)), "a module used twice cannot be folded or bounded by its name"


def norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])


def wide_reference(x: Tensor, s: State, act: Callable[[Tensor], Tensor], one_sided: bool) -> Tensor:
    out = F.conv2d(x, s["conv1.weight"], padding=1)
    for stage in (1, 2, 3):
        for layer in range(2):
            name, stride = f"block{stage}.layer.{layer}", 2 if stage > 1 and layer == 0 else 1
            act_in = act(norm(out, s, f"{name}.bn1"))
            sides = (0, 1, 0, 1) if stride == 2 and one_sided else (1, 1, 1, 1)
            mid = F.conv2d(F.pad(act_in, sides), s[f"{name}.conv1.weight"], stride=stride)
            mid = F.conv2d(act(norm(mid, s, f"{name}.bn2")), s[f"{name}.conv2.weight"], padding=1)
            if f"{name}.convShortcut.weight" in s:
                out = F.conv2d(act_in, s[f"{name}.convShortcut.weight"], stride=stride)
            out = out + mid
    pooled = F.avg_pool2d(act(norm(out, s, "bn1")), 8).flatten(1)
    return pooled @ s["fc.weight"].T + s["fc.bias"]


def resnet_reference(x: Tensor, s: State) -> Tensor:
    out = F.relu(norm(F.conv2d(x, s["conv1.weight"], padding=1), s, "bn1"))
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            mid = F.conv2d(out, s[f"{name}.conv1.weight"], stride=stride, padding=1)
            mid = F.conv2d(F.relu(norm(mid, s, f"{name}.bn1")), s[f"{name}.conv2.weight"], padding=1)
            if f"{name}.shortcut.0.weight" in s:
                out = F.conv2d(out, s[f"{name}.shortcut.0.weight"], stride=stride)
                out = norm(out, s, f"{name}.shortcut.1")
            out = F.relu(norm(mid, s, f"{name}.bn2") + out)
    return F.avg_pool2d(out, 4).flatten(1) @ s["linear.weight"].T + s["linear.bias"]


def preact_reference(x: Tensor, s: State) -> Tensor:
    out = F.conv2d(x, s["conv1.weight"], padding=1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            act_in = F.relu(norm(out, s, f"{name}.bn1"))
            mid = F.conv2d(act_in, s[f"{name}.conv1.weight"], stride=stride, padding=1)
            mid = F.conv2d(F.relu(norm(mid, s, f"{name}.bn2")), s[f"{name}.conv2.weight"], padding=1)
            if f"{name}.shortcut.0.weight" in s:
                out = F.conv2d(act_in, s[f"{name}.shortcut.0.weight"], stride=stride)
            out = out + mid
    if "bn.weight" in s:
        out = F.relu(norm(out, s, "bn"))
    return F.avg_pool2d(out, 4).flatten(1) @ s["linear.weight"].T + s["linear.bias"]


def mobilenet_reference(x: Tensor, s: State) -> Tensor:
    out = F.relu(norm(F.conv2d(x, s["conv1.weight"], padding=1), s, "bn1"))
    strides = [1, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]
    for index, stride in enumerate(strides):
        name = f"layers.{index}"
        mid = F.relu(norm(F.conv2d(out, s[f"{name}.conv1.weight"]), s, f"{name}.bn1"))
        kernel = s[f"{name}.conv2.weight"]
        mid = F.conv2d(mid, kernel, stride=stride, padding=1, groups=len(kernel))
        mid = F.conv2d(F.relu(norm(mid, s, f"{name}.bn2")), s[f"{name}.conv3.weight"])
        mid = norm(mid, s, f"{name}.bn3")
        if stride == 1 and f"{name}.shortcut.0.weight" in s:
            out = norm(F.conv2d(out, s[f"{name}.shortcut.0.weight"]), s, f"{name}.shortcut.1")
        out = mid + out if stride == 1 else mid
    out = F.relu(norm(F.conv2d(out, s["conv2.weight"]), s, "bn2"))
    return F.avg_pool2d(out, 4).flatten(1) @ s["linear.weight"].T + s["linear.bias"]


WIDE = {"depth": 16, "width": 1}
REFERENCES = [
    ("resnet18", {"width": 8}, resnet_reference),
    ("preact_resnet18", {"width": 8}, preact_reference),
    ("preact_resnet18", {"width": 8, "final_norm": True}, preact_reference),
    ("mobilenet_v2", {}, mobilenet_reference),
    ("wide_resnet", WIDE, lambda x, s: wide_reference(x, s, F.relu, False)),
    ("wide_resnet", {**WIDE, "activation": "silu"}, lambda x, s: wide_reference(x, s, F.silu, False)),
    ("wide_resnet", {**WIDE, "padding": "bottom-right"}, lambda x, s: wide_reference(x, s, F.relu, True)),
]


@pytest.mark.parametrize(("name", "arguments", "reference"), REFERENCES)
def test_forward_is_the_published_one_under_the_public_names(name, arguments, reference) -> None:
    torch.manual_seed(1)
    model = build_model(name, num_classes=10, **arguments).double().eval()
    state = model.state_dict()
    for key, tensor in state.items():
        if "running" in key or (tensor.ndim == 1 and tensor.is_floating_point()):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(model(x), reference(x, state), rtol=1e-9, atol=1e-9)


def test_named_wide_networks_have_their_activation() -> None:
    with torch.device("meta"):
        gowal, trades = (build_model(name, num_classes=10) for name in ("wrn_70_16", "wrn_34_10"))
    assert {type(m) for n, m in gowal.named_modules() if "relu" in n} == {nn.SiLU}
    assert {type(m) for n, m in trades.named_modules() if "relu" in n} == {nn.ReLU}
    assert gowal.spec.arguments == {"activation": "silu", "padding": "bottom-right"}
