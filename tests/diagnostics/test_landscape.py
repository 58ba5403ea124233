"""Landscapes around trained weights: lengths of directions, closed forms, and networks that stay as they are."""

from __future__ import annotations

import copy
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.diagnostics import landscape_walk, landscapes
from robustill.diagnostics.landscape_directions import filter_normalised
from robustill.diagnostics.landscape_walk import Walk
from robustill.diagnostics.landscapes import landscape
from robustill.errors import DataError, InputError, ModelError
from robustill.models import build_model
from tests.reference.landscape import normalised, worst_cross_entropy

ATTACK = PGD(eps=0.1, step_size=0.05, steps=4)
SMALL: dict[str, Any] = {"eps": 0.1, "steps": 2, "points": 5, "directions": 2, "images": 24, "progress": False}


def network(seed: int = 0, name: str = "cnn_small", **arguments: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, num_classes=3, shape=(1, 8, 8), **arguments)


def linear(features: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(features, 2)).double()


def points(count: int = 6, features: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 1, 1, features, generator=generator, dtype=torch.float64)
    return x, torch.arange(count) % 2


@pytest.mark.parametrize("name", ["cnn_small", "resnet18"])
def test_filters_are_as_long_as_the_weights(name: str) -> None:
    net = network(name=name, **({"width": 2} if name == "resnet18" else {})).double()
    found = filter_normalised(net, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    for key, weight in net.named_parameters():
        assert (key in found) == (weight.ndim > 1)
        if weight.ndim > 1:
            drawn = torch.randn(weight.shape, generator=generator).double()
            torch.testing.assert_close(found[key], normalised(drawn, weight), rtol=1e-6, atol=1e-9)
            assert not found[key].requires_grad
    shapes = {weight.ndim for weight in net.parameters()}
    assert shapes == ({1, 2, 4})


def test_a_filter_of_zeros_does_not_move() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[1] = 0
    found = filter_normalised(layer, torch.Generator().manual_seed(0))["weight"]
    assert float(found[0].norm()) == pytest.approx(layer.weight[0].norm().item())
    assert not found[1].any()
    with pytest.raises(ModelError, match="no weight with two or more dimensions"):
        filter_normalised(nn.BatchNorm2d(3), torch.Generator())


class Squared(nn.Module):
    """The loss of its only class pair is a known function of its weight, whatever the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        # Cross-entropy of class 0 is log(1 + exp(-a)); with this a it is |w|^2.
        loss = self.weight.square().sum()
        logit = -torch.log(torch.expm1(loss))
        return torch.stack([logit, torch.zeros_like(logit)]).expand(len(x), 2) + 0 * x.flatten(1)[:, :1]


@pytest.mark.parametrize("adversary", ["regenerated", "fixed"])
def test_a_quadratic_loss_has_a_quadratic_landscape(adversary: str) -> None:
    net = Squared()
    x, _ = points()
    walk = Walk(net, x, torch.zeros(6, dtype=torch.int64), ATTACK, adversary=adversary)  # type: ignore[arg-type]
    d = filter_normalised(net, torch.Generator().manual_seed(0))
    e = filter_normalised(net, torch.Generator().manual_seed(1))
    assert float(d["weight"].norm()) == pytest.approx(5)
    for a, b in ((0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.2, -0.3)):
        moved = torch.tensor([[3.0, 4.0]], dtype=torch.float64) + a * d["weight"] + b * e["weight"]
        losses, right = walk.measure((a, d), (b, e))
        torch.testing.assert_close(losses, torch.full((6,), float(moved.square().sum()), dtype=torch.float64))
        assert right.tolist() == [0.0] * 6
    ends = [walk.measure((r, d))[0].mean() for r in (-0.5, 0.5)]
    assert float(sum(ends)) / 2 - 25 == pytest.approx(0.25 * 25), "the mean rise of |w|^2 is r^2 |w|^2"


def test_a_linear_classifier_meets_its_closed_form_when_attacked_anew() -> None:
    net, (x, y) = linear(), points()
    way = filter_normalised(net, torch.Generator().manual_seed(3))
    anew, kept = (Walk(net, x, y, ATTACK, adversary=kind, batch_size=4) for kind in ("regenerated", "fixed"))
    rises = []
    for r in (-2.0, -0.5, 0.0, 0.7, 2.0):
        weight, bias = (net[1].weight + r * way["1.weight"]).detach(), net[1].bias.detach()
        expected = [worst_cross_entropy(weight, bias, each, int(c), 0.1) for each, c in zip(x, y, strict=True)]
        found, stale = anew.measure((r, way))[0], kept.measure((r, way))[0]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)
        assert bool((found >= stale - 1e-12).all()), "an adversary of other weights is no stronger"
        rises.append(float((found - stale).max()))
    assert rises[2] == pytest.approx(0, abs=1e-12)
    assert max(rises) > 0.01


def test_the_same_point_costs_the_same_whatever_was_walked_before() -> None:
    net = network(3)
    x, y = torch.rand(10, 1, 8, 8), torch.arange(10) % 3
    walk = Walk(net, x, y, ATTACK, batch_size=4)
    ways = [filter_normalised(net, torch.Generator().manual_seed(k)) for k in (0, 1)]
    first = walk.measure((0.3, ways[0]))[0]
    walk.measure((9.0, ways[1]), (-3.0, ways[0]))
    assert torch.equal(walk.measure((0.3, ways[0]))[0], first)
    assert not torch.equal(walk.measure()[0], first)


@pytest.fixture
def untouched() -> Iterator[nn.Module]:
    """A network with batch norm, in train mode, that must be the same to the bit afterwards."""
    net = network(1, "resnet18", width=2).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    yield net
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert all(weight.requires_grad and weight.grad is None for weight in net.parameters())


@pytest.mark.parametrize("adversary", ["regenerated", "fixed"])
def test_a_network_is_the_same_afterwards(untouched: nn.Module, tiny_data: Data, adversary: str) -> None:
    found = landscape({"net": untouched}, tiny_data, plane=3, adversary=adversary, **SMALL)  # type: ignore[arg-type]
    assert found["runs"]["net"]["curves"][0][2] == found["runs"]["net"]["loss"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("after", [0, 5, 11])
def test_a_network_is_the_same_after_an_interruption(
    untouched: nn.Module, tiny_data: Data, stop: type[BaseException], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(10**6))

    def interrupted(logits: Tensor, y: Tensor) -> Tensor:
        if next(left) == after:
            raise stop
        return nn.functional.cross_entropy(logits, y, reduction="none")

    monkeypatch.setattr(landscape_walk, "cross_entropy", interrupted)
    with pytest.raises(stop):
        landscape({"net": untouched}, tiny_data, **SMALL)


def test_batch_norm_keeps_its_statistics(tiny_data: Data) -> None:
    net = network(1, "resnet18", width=2).train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(8, 1, 8, 8))
    x, y = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    way = filter_normalised(net, torch.Generator().manual_seed(0))
    still = PGD(eps=0.0, step_size=1.0, steps=0, init="none")
    found = Walk(net, x, y, still, batch_size=5).measure((0.2, way))[0]
    moved = copy.deepcopy(net).eval()
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            weight.add_(0.2 * way.get(name, torch.zeros(())))
        expected = nn.functional.cross_entropy(moved(x), y, reduction="none").double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_returned_adds_up(tiny_data: Data, tmp_path: Path) -> None:
    nets = {"a": network(0), "b": network(1)}
    found = landscape(nets, tiny_data, plane=3, flatness_at=0.3, radius=0.8, out=tmp_path, **SMALL)
    assert json.loads((tmp_path / "landscape.json").read_text()) == found
    assert found["radii"] == [-0.8, -0.4, 0.0, 0.4, 0.8]
    settings = found["settings"]
    assert (settings["flatness_at"], settings["adversary"], settings["images"]) == (0.4, "regenerated", 24)
    assert "statistics of the trained weights" in settings["batch_norm"]
    for run in found["runs"].values():
        rises = [(curve[1] + curve[3]) / 2 - run["loss"] for curve in run["curves"]]
        flat = run["flatness"]["rise"]
        assert flat["by_direction"] == pytest.approx(rises)
        assert flat["mean"] == pytest.approx(statistics.fmean(rises))
        assert flat["sd_directions"] == pytest.approx(statistics.stdev(rises))
        assert flat["se_images"] > 0
        drops = [run["robust"] - (curve[1] + curve[3]) / 2 for curve in run["robust_curves"]]
        assert run["flatness"]["robust_drop"]["mean"] == pytest.approx(statistics.fmean(drops), abs=1e-9)
        plane = run["plane"]["losses"]
        # A row of the plane is along the first direction, a column along the second.
        assert plane[1] == pytest.approx([run["curves"][0][k] for k in (0, 2, 4)])
        assert [row[1] for row in plane] == pytest.approx([run["curves"][1][k] for k in (0, 2, 4)])
    assert found["runs"]["a"]["curves"] != found["runs"]["b"]["curves"]


def test_losses_are_those_of_the_attack_at_the_trained_weights(tiny_data: Data) -> None:
    net = network(0)
    found = landscape({"net": net}, tiny_data, split="validation", **{**SMALL, "images": 24})
    x, y = next(iter(tiny_data.validation.batches(24)))  # type: ignore[union-attr]
    attack = PGD(eps=0.1, step_size=0.025, steps=2)
    generator = torch.Generator().manual_seed(0)
    x_adv = attack(lambda p: nn.functional.cross_entropy(net(p), y, reduction="none"), x, generator=generator)
    expected = nn.functional.cross_entropy(net(x_adv), y)
    assert found["runs"]["net"]["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_finished_networks_are_not_computed_again(
    tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = network(0), network(1)
    look: dict[str, Any] = {**SMALL, "out": tmp_path}
    with monkeypatch.context() as patch:
        calls = iter(range(100))

        def dying(*arguments: Any) -> Any:
            if next(calls) == 1:
                raise KeyboardInterrupt
            return measured(*arguments)

        measured = landscapes.measured
        patch.setattr(landscapes, "measured", dying)
        with pytest.raises(KeyboardInterrupt):
            landscape({"a": first, "b": second}, tiny_data, **look)
    assert list(json.loads((tmp_path / "landscape.json").read_text())["runs"]) == ["a"]
    asked: list[int] = []
    plain = landscapes.measured
    monkeypatch.setattr(landscapes, "measured", lambda *a: [asked.append(1), plain(*a)][1])
    whole = landscape({"b": second, "a": first}, tiny_data, **look)
    assert (len(asked), list(whole["runs"])) == (1, ["b", "a"])
    anew = landscape({"b": second, "a": first}, tiny_data, **SMALL)
    assert [run["curves"] for run in anew["runs"].values()] == [run["curves"] for run in whole["runs"].values()]
    landscape({"a": first}, tiny_data, **{**look, "steps": 3})
    assert len(asked) == 4, "other settings are other numbers"


def test_what_cannot_be(tiny_data: Data, tmp_path: Path) -> None:
    net = {"net": network(0)}
    for given, message in (
        ({"points": 4}, "points = 4: the trained weights must be the middle"),
        ({"plane": 1}, "plane = 1"),
        ({"directions": 0}, "directions = 0"),
        ({"radius": 0.0}, "radius = 0.0"),
        ({"adversary": "fix"}, "no adversary 'fix'.*\n.*fixed"),
        ({"split": "training"}, "no split 'training'.*\n.*train"),
        ({"eps": -0.1}, "impossible attack"),
        ({"images": 0}, "images is 0"),
    ):
        with pytest.raises(InputError, match=message):
            landscape(net, tiny_data, **{**SMALL, **given})
    with pytest.raises(InputError, match="there is no network"):
        landscape({}, tiny_data, **SMALL)
    with pytest.raises(ModelError, match="big"):
        landscape({**net, "big": build_model("cnn_small", num_classes=3, shape=(3, 8, 8))}, tiny_data, **SMALL)
    with pytest.raises(ModelError, match="ten"):
        landscape({**net, "ten": build_model("cnn_small", num_classes=10, shape=(1, 8, 8))}, tiny_data, **SMALL)
    (tmp_path / "landscape.json").write_text('{"format": "x"}')
    with pytest.raises(DataError, match="holds no landscape"):
        landscape(net, tiny_data, out=tmp_path, **SMALL)


def test_a_loss_that_is_not_finite_says_where() -> None:
    net, (x, y) = linear(), points()
    way = {"1.weight": torch.full((2, 4), torch.inf, dtype=torch.float64)}
    with pytest.raises(InputError, match=r"not finite at a distance of 0\.5"):
        Walk(net, x, y, PGD(eps=0.0, step_size=1.0, steps=0)).measure((0.5, way))
