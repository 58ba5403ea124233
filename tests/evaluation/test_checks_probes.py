"""Small attacks that find what a masked network hid, and nothing more on an honest one."""

import json
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD, correct, named_attack, stays_correct
from robustill.data import Data
from robustill.evaluation.checks import Check, square_probe, steps_sweep
from tests.evaluation.masked import Wrapped, coarse, generators, images, trained


def swept(model: nn.Module, x: Tensor, y: Tensor, eps: float, norm: Literal["Linf", "L2"] = "Linf") -> Check:
    check = steps_sweep(model, x, y, eps=eps, norm=norm, generators=generators(len(x)))
    assert json.loads(json.dumps(check.to_json())) == check.to_json()
    return check


def probed(model: nn.Module, x: Tensor, y: Tensor, eps: float, norm: Literal["Linf", "L2"] = "Linf") -> Check:
    attack = named_attack("pgd20", eps=eps, norm=norm)
    standing = correct(model, x, y) & stays_correct(model, x, y, attack, generator=generators(len(x)))
    return square_probe(model, x, y, standing, eps=eps, norm=norm, generators=generators(len(x)), queries=200)


@pytest.mark.parametrize("kind", ["standard", "pgd-at"])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.1), ("Linf", 0.23), ("L2", 1.0)])
def test_honest_networks_are_silent(kind: str, norm: Literal["Linf", "L2"], eps: float, tiny_data: Data) -> None:
    net, (x, y) = trained(kind, tiny_data), images(tiny_data)
    sweep, probe = swept(net, x, y, eps, norm), probed(net, x, y, eps, norm)
    assert not sweep.fired
    assert not probe.fired
    assert probe.value["standing"] > 0


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.23), ("L2", 1.3)])
def test_the_sweep_is_pgd(norm: Literal["Linf", "L2"], eps: float, tiny_data: Data) -> None:
    net, (x, y) = trained("standard", tiny_data), images(tiny_data)
    y = torch.where(torch.arange(40) < 4, (y + 1) % 3, y)
    value = swept(net, x, y, eps, norm).value
    standing, expected = correct(net, x, y), {}
    for steps in (5, 10, 20, 40, 80):
        attack = named_attack(f"pgd{steps}", eps=eps, norm=norm)
        standing = standing & stays_correct(net, x, y, attack, generator=generators(40))
        expected[str(steps)] = float(standing.double().mean())
        if steps == 20:
            by_restarts = standing
    assert value["steps"] == expected
    assert 0 < expected["80"] < expected["5"] < 0.9, "something falls on the way, and something stands"
    sources = generators(40)
    for _ in range(5):
        again = PGD(eps=eps, step_size=eps / 4, steps=20, norm=norm)
        by_restarts = by_restarts & stays_correct(net, x, y, again, generator=sources)
    assert value["restarts"] == {"1": expected["20"], "5": float(by_restarts.double().mean())}
    assert value["images"] == 40


class Lock(nn.Module):
    """Each pixel acts once all pixels before it are turned up: PGD, which sees one of them at a time, is slow.

    The last pixel says how many others must be turned up for the prediction to change; a bright grey changes it.
    """

    def forward(self, x: Tensor) -> Tensor:
        level = x.flatten(1)[:, :-1] - 0.5
        opened = (level > 0.09).cumprod(1)
        before = torch.cat([torch.ones_like(level[:, :1]), opened[:, :-1].float()], 1)
        needed = 100 * (1 - x.flatten(1)[:, -1])
        ahead = (level * before).sum(1) / 0.1 - needed
        return torch.stack([-ahead, ahead], 1)


def test_an_attack_that_finds_more_with_every_step_is_seen() -> None:
    x = torch.full((32, 1, 8, 8), 0.5)
    # The attack moves the last pixel by 0.1, that is by ten turns.
    x[:, 0, 7, 7] = 1 - torch.linspace(0.105, 0.32, 32)
    check = swept(Lock(), x, torch.zeros(32, dtype=torch.int64), 0.1)
    assert check.fired
    accuracies = list(check.value["steps"].values())
    assert accuracies == sorted(set(accuracies), reverse=True), "each doubling finds more"
    assert "has not come to its end" in check.says
    assert "--attacks autoattack" in check.says


class Tired(nn.Module):
    """Errs by the brightness of the first pixel: dark between 41 and 80 gradients, grey after 80, bright never."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += x.requires_grad
        mark = x[:, 0, 0, 0]
        dark, grey = mark < 0.3, (mark > 0.3) & (mark < 0.7)
        wrong = (dark & (40 < self.asked <= 80)) | (grey & (self.asked > 80))
        return torch.stack([1 - wrong.float(), wrong.float()], 1)


@pytest.mark.parametrize("mark", [0.0, 0.5])
@pytest.mark.parametrize(("falling", "of", "fires"), [(3, 60, True), (2, 20, False), (3, 61, False), (4, 61, True)])
def test_when_the_sweep_fires(mark: float, falling: int, of: int, fires: bool) -> None:
    x = torch.ones(of + 5, 1, 3, 3)
    x[:falling, 0, 0, 0] = mark
    # Wrong without an attack: not among those that stand.
    y = (torch.arange(of + 5) >= of).long()
    check = swept(Tired(), x, y, 0.01)
    assert check.fired is fires
    left = (of - falling) / (of + 5)
    by = {"steps": "80", "restarts": "5"}
    hit, other = ("steps", "restarts") if mark == 0 else ("restarts", "steps")
    assert check.value[hit][by[hit]] == pytest.approx(left)
    assert check.value[other][by[other]] == pytest.approx(of / (of + 5))
    assert f"{falling} of {of}" in check.says


class Wavering(nn.Module):
    """Wrong on images of 0, 1/2 and 1 whose first pixel is dark, right on everything around them."""

    def forward(self, x: Tensor) -> Tensor:
        exact = (2 * x == (2 * x).round()).flatten(1).all(1)
        wrong = (exact & (x[:, 0, 0, 0] < 0.3)).float()
        return torch.stack([1 - wrong, wrong], 1)


def test_an_image_that_is_wrong_without_an_attack_stays_wrong() -> None:
    x = torch.full((10, 1, 3, 3), 0.5)
    x[:4, 0, 0, 0] = 0
    value = swept(Wavering(), x, torch.zeros(10, dtype=torch.int64), 0.1).value
    assert value["steps"] == dict.fromkeys(("5", "10", "20", "40", "80"), 0.6)
    assert value["restarts"] == {"1": 0.6, "5": 0.6}


def test_square_sees_through_quantisation_and_gradients_do_not(tiny_data: Data) -> None:
    (x, y), eps = images(tiny_data), 0.23
    open_net = trained("standard", tiny_data)
    hidden = Wrapped(open_net, before=coarse)
    check = probed(hidden, x, y, eps)
    assert check.fired
    assert check.value["queries"] == 200
    assert check.value["standing"] > 35, "PGD finds nothing"
    assert "--attacks autoattack" in check.says
    assert not probed(open_net, x, y, eps).fired, "the network itself hides nothing from PGD"


def test_a_model_that_cuts_the_graph_is_probed(tiny_data: Data) -> None:
    x, y = images(tiny_data)
    check = swept(Wrapped(trained("standard", tiny_data), before=torch.detach), x, y, 0.1)
    assert not check.fired
    assert check.value["steps"]["80"] == 1.0


class Shy(nn.Module):
    """Right on images of 0, 1/2 and 1; where the first pixel is dark, wrong as soon as a pixel is anything else."""

    def forward(self, x: Tensor) -> Tensor:
        moved = (2 * x != (2 * x).round()).flatten(1).any(1)
        wrong = (moved & (x[:, 0, 0, 0] < 0.3)).float()
        return torch.stack([1 - wrong, wrong], 1)


@pytest.mark.parametrize(
    ("falling", "of", "fires"), [(0, 0, False), (1, 1, False), (1, 20, False), (2, 40, True), (2, 41, False)]
)
def test_when_the_square_probe_fires(falling: int, of: int, fires: bool) -> None:
    x = torch.full((of + 5, 1, 3, 3), 0.5)
    x[:, 0, 0, 0] = (torch.arange(of + 5) >= 5 + falling).float()
    # The first five fell before: they would fall again, and are not asked.
    standing, sources = torch.arange(of + 5) >= 5, generators(of + 5)
    untouched = [each.get_state() for each in sources]
    y = torch.zeros(of + 5, dtype=torch.int64)
    check = square_probe(Shy(), x, y, standing, eps=0.05, norm="Linf", generators=sources, queries=3)
    assert check.fired is fires
    assert check.value == {"standing": of, "fell": falling, "queries": 3}
    same = [torch.equal(each.get_state(), old) for each, old in zip(sources, untouched, strict=True)]
    assert same == (~standing).tolist(), "each image draws from its own generator"


def test_probes_leave_everything_as_it_was(tiny_data: Data) -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3)).train()
    net[2].eval()
    (x, y), state = images(tiny_data), torch.get_rng_state()
    before, given = {name: value.clone() for name, value in net.state_dict().items()}, x.clone()
    swept(net, x, y, 0.1)
    probed(net, x, y, 0.1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, given)
    assert [module.training for module in net.modules()] == [True, True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
