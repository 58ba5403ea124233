"""Signs in logits and gradients: each fires where gradients are hidden, all are silent on honest networks."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.evaluation.checks import Check, check_model
from robustill.losses import margin
from tests.evaluation.masked import Wrapped, coarse, images, noisy, trained


def looked(model: nn.Module, x: Tensor, y: Tensor, *, classes: int = 10, dlr: bool = True) -> dict[str, Check]:
    checks = {check.name: check for check in check_model(model, x, y, classes=classes, attacks_dlr=dlr)}
    assert list(checks) == ["randomised", "zero-gradients", "overflow", "few-classes"]
    for check in checks.values():
        written = check.to_json()
        assert json.loads(json.dumps(written, allow_nan=False)) == written
        assert check.says.endswith(".")
    return checks


def fired(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if check.fired]


@pytest.mark.parametrize("kind", ["standard", "pgd-at"])
def test_honest_confident_networks_are_silent(kind: str, tiny_data: Data) -> None:
    net, (x, y) = trained(kind, tiny_data), images(tiny_data)
    with torch.no_grad():
        margins = -margin(net(x), y)
    assert float(margins.median()) > 20, "confident enough that the loss is 0 in float32"
    checks = looked(net, x, y)
    assert fired(checks) == []
    assert checks["overflow"].value["loss_exactly_zero"] > 0.5
    assert fired(looked(net, x, y, classes=3)) == ["few-classes"]
    assert fired(looked(net, x, y, classes=3, dlr=False)) == []


def exploding(logits: Tensor) -> Tensor:
    return (20 * logits).exp()


@pytest.mark.parametrize(
    ("parts", "expected", "words"),
    [
        ({"behind": lambda z: 1e4 * z}, ["zero-gradients", "overflow"], "the loss saturates"),
        ({"before": coarse}, ["zero-gradients"], "--attacks square"),
        # The graph is cut: attacks would stop with an error.
        ({"before": torch.detach}, ["zero-gradients"], "no gradient attack means anything"),
        ({"before": noisy}, ["randomised"], None),
        ({"before": lambda x: nn.functional.dropout(x, 0.05)}, ["randomised"], None),
        ({"behind": lambda z: z + 0.01 * torch.rand_like(z)}, ["randomised"], None),
        ({"behind": exploding}, ["overflow"], None),
    ],
)
@pytest.mark.parametrize("kind", ["standard", "pgd-at"])
def test_masked_networks(
    kind: str, parts: dict[str, Callable[[Tensor], Tensor]], expected: list[str], words: str | None, tiny_data: Data
) -> None:
    torch.manual_seed(0)
    checks = looked(Wrapped(trained(kind, tiny_data), **parts), *images(tiny_data))
    assert fired(checks) == expected
    if words is not None:
        assert words in checks["zero-gradients"].says


def test_what_is_measured_on_a_saturated_network(tiny_data: Data) -> None:
    checks = looked(Wrapped(trained("standard", tiny_data), behind=lambda z: 1e4 * z), *images(tiny_data))
    assert checks["zero-gradients"].value == {"right": 40, "cross_entropy": 1.0, "margin": 0.0}
    assert checks["overflow"].value == {
        "images": 40,
        "not_finite": 0,
        "right": 40,
        "softmax_exactly_one": 1.0,
        "loss_exactly_zero": 1.0,
    }
    assert "--attacks autoattack" in checks["zero-gradients"].says


def test_random_output_names_its_attack(tiny_data: Data) -> None:
    torch.manual_seed(0)
    check = looked(Wrapped(trained("standard", tiny_data), behind=nn.functional.dropout), *images(tiny_data))[
        "randomised"
    ]
    assert "--attacks autoattack-rand" in check.says
    assert check.value["images"] == 40
    assert 0 < check.value["predictions_changed"] < 40
    assert f"{check.value['predictions_changed']} of 40 predictions change" in check.says
    assert check.value["largest_change"] > 0.5


class Marked(nn.Module):
    """Two logits +-x_1 / 2, changed by `what` at the images whose pixel x_0 is bright."""

    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.what, self.scale = what, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        logits = self.scale * torch.stack([x[:, 1], -x[:, 1]], 1) / 2
        return torch.where(x[:, :1] > 0.5, self.what(logits), logits)


def marked(bright: int, n: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(0)) / 2 + 0.1
    x[:, 0, 0, 0] = (torch.arange(n) < bright).float()
    return x, torch.zeros(n, dtype=torch.int64)


@pytest.mark.parametrize(
    ("what", "name", "key"),
    [
        (torch.detach, "zero-gradients", "margin"),
        (torch.detach, "zero-gradients", "cross_entropy"),
        (lambda z: 1e-38 * z, "zero-gradients", "margin"),
        (lambda z: 1e4 * z, "zero-gradients", "cross_entropy"),
        (lambda z: 1e4 * z, "overflow", "softmax_exactly_one"),
    ],
)
def test_a_share_fires_at_five_percent(what: Callable[[Tensor], Tensor], name: str, key: str) -> None:
    for bright, fires in ((0, False), (1, False), (2, True), (3, True)):
        check = looked(Marked(what), *marked(bright, 40))[name]
        assert check.value[key] == bright / 40
        assert check.fired is fires
    assert not looked(Marked(what), *marked(2, 41))[name].fired


def test_only_right_images_are_counted() -> None:
    x, y = marked(3, 60)
    y[:20] = 1
    checks = looked(Marked(torch.detach), x, y)
    assert fired(checks) == []
    assert checks["zero-gradients"].value == {"right": 40, "cross_entropy": 0.0, "margin": 0.0}
    y[:] = 1
    assert fired(looked(Marked(torch.detach), x, y)) == []


def test_a_tiny_gradient_is_a_direction() -> None:
    assert fired(looked(Marked(lambda z: 1e-30 * z), *marked(40, 40))) == []


def test_one_image_that_is_not_finite_is_an_overflow() -> None:
    check = looked(Marked(lambda z: z.detach() + torch.inf), *marked(1, 400))["overflow"]
    assert check.fired
    assert check.value["not_finite"] == 1
    assert "not finite at 1 of 400 images" in check.says
    assert "softmax" not in check.says


def test_a_gradient_that_is_not_a_number() -> None:
    # The square root has none at 0; the logits are finite.
    checks = looked(Marked(lambda z: z + (0 * z).sqrt()), *marked(40, 40))
    assert fired(checks) == ["zero-gradients", "overflow"]
    assert checks["zero-gradients"].value == {"right": 40, "cross_entropy": 1.0, "margin": 1.0}
    assert checks["overflow"].value["not_finite"] == 40


def test_a_margin_without_gradient_is_named() -> None:
    class Third(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            level = x.mean((1, 2, 3))
            return torch.stack([torch.full_like(level, 2.0), torch.ones_like(level), level - 1], 1)

    check = looked(Third(), *marked(0, 20))["zero-gradients"]
    assert check.fired
    assert check.value == {"right": 20, "cross_entropy": 0.0, "margin": 1.0}
    assert "attacks on the margin (cw, apgd-dlr) are blind" in check.says


class Drifting(nn.Module):
    """Logits (0, 1) whose second moves by `by` with each call; infinite at bright images."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by, self.calls = by, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        level = torch.where(x[:, 0, 0, 0] > 0.5, torch.inf, 1 + self.by * self.calls)
        return torch.stack([torch.zeros_like(level), level], 1)


@pytest.mark.parametrize(("by", "fires"), [(0.0, False), (4e-5, False), (6e-5, True), (0.1, True)])
@pytest.mark.parametrize("bright", [0, 5])
def test_rounding_is_not_randomness(by: float, fires: bool, bright: int) -> None:
    check = looked(Drifting(by), *marked(bright, 20))["randomised"]
    assert check.fired is fires
    assert check.value["largest_change"] == pytest.approx(2 * by, rel=0.25, abs=1e-12)


@pytest.mark.parametrize(
    ("classes", "dlr", "words"),
    [
        (2, True, "apgd-dlr and autoattack-rand cannot run"),
        (3, True, "targeted APGD takes the cross-entropy"),
        (4, True, None),
        (2, False, None),
    ],
)
def test_few_classes(classes: int, dlr: bool, words: str | None) -> None:
    check = looked(Marked(lambda z: z), *marked(0, 8), classes=classes, dlr=dlr)["few-classes"]
    assert check.fired is (words is not None)
    assert check.value == {"classes": classes}
    assert (words or "") in check.says


def test_everything_is_left_as_it_was(tiny_data: Data) -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3)).train()
    net[2].eval()
    for weight in net.parameters():
        weight.grad = torch.full_like(weight, 7.0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    (x, y), state = images(tiny_data), torch.get_rng_state()
    given: dict[str, Any] = {"x": x.clone(), "y": y.clone()}
    assert not looked(net, x, y)["randomised"].fired, "dropout and batch norm are in eval mode"
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, given["x"])
    assert torch.equal(y, given["y"])
    assert not x.requires_grad
    assert [module.training for module in net.modules()] == [True, True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(torch.equal(weight.grad, torch.full_like(weight, 7.0)) for weight in net.parameters())  # type: ignore[arg-type]
