"""What AutoAttack will cost is said before it starts, on a clock that the attacks themselves move."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import APGD, AutoAttack, Search
from robustill.attacks.rows import State
from robustill.data import Data
from robustill.evaluation import Evaluation, cost, evaluate
from tests.evaluation.conftest import Brightness

FIRST, TARGETED, TARGETS = 8, 5, 2
STEPS = FIRST + TARGETS * TARGETED


class Clock:
    """Goes on by some seconds for each image in each step of a search; the first step of all takes long."""

    def __init__(self, per_image: float) -> None:
        self.per_image, self.now, self.warm_up = per_image, 1000.0, 500.0
        self.rows: list[int] = []

    def step(self, rows: int) -> None:
        self.now += rows * self.per_image + self.warm_up
        self.warm_up = 0.0
        self.rows.append(rows)


def clock(monkeypatch: pytest.MonkeyPatch, per_image: float) -> Clock:
    found, advance = Clock(per_image), APGD.advance

    def stages(self: AutoAttack, classes: int) -> dict[str, list[Search]]:
        return {
            "apgd-ce": [APGD(eps=self.eps, steps=FIRST)],
            "apgd-t": [APGD(eps=self.eps, steps=TARGETED) for _ in range(TARGETS)],
        }

    def advanced(self: APGD, model: nn.Module, state: State) -> None:
        found.step(len(state["index"]) if "index" in state else len(state["x"]))
        advance(self, model, state)

    monkeypatch.setattr(AutoAttack, "stages", stages)
    monkeypatch.setattr(APGD, "advance", advanced)
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: found.now))
    return found


def run(model: nn.Module, data: Data, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "attacks": ("autoattack",), "checks": False, **changes}
    return evaluate(model, data, **given)


def announced(text: str) -> list[str]:
    return [line for line in text.splitlines() if " at most about " in line]


def seconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"s": 1, "min": 60, "h": 3600}[unit]


@pytest.mark.parametrize("per_image", [0.05, 2.0, 30.0])
def test_the_cost_is_an_upper_bound(
    per_image: float,
    model: nn.Module,
    data: Data,
    truth: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = clock(monkeypatch, per_image)
    run(model, data)
    (line,) = announced(capsys.readouterr().err)
    standing = int(truth["clean"].sum())
    found = re.fullmatch(
        rf"autoattack on {standing} images: at most about (.+) \(apgd-ce (.+), apgd-t (.+)\); less as images fall", line
    )
    assert found is not None, line
    whole, first, second = (seconds(text) for text in found.groups())
    # Without the first step, which is no measure of the others; as people say it, so to a few percent.
    assert whole == pytest.approx(STEPS * standing * per_image, rel=0.04)
    assert first == pytest.approx(FIRST * standing * per_image, rel=0.04)
    assert second == pytest.approx(TARGETS * TARGETED * standing * per_image, rel=0.04)
    looked = 2 * 4
    assert watch.rows[:looked] == [standing] * looked, "a few steps of each stage, before it starts"
    assert 0 < sum(watch.rows[looked:]) * per_image < whole, "images fall: the attack costs less"


def test_an_attack_that_finds_nothing_costs_all_of_it(
    model: nn.Module,
    data: Data,
    truth: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = clock(monkeypatch, 1.0)
    run(model, data, eps=0.0)
    standing = int(truth["clean"].sum())
    assert sum(watch.rows[8:]) == STEPS * standing
    assert f"at most about {STEPS * standing / 60:.1f} min" in capsys.readouterr().err


def test_only_a_few_images_are_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: nn.Module
) -> None:
    watch = clock(monkeypatch, 0.5)
    levels = torch.arange(200).to(torch.uint8)
    images, labels = levels[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), (levels > 127).long()
    run(model, Data.from_arrays((images, labels), (images, labels), validation=0))
    assert watch.rows[:8] == [32] * 8
    (line,) = announced(capsys.readouterr().err)
    assert line.startswith("autoattack on 200 images: at most about 30.0 min (")


# 20 images, 18 steps: 8.9 and 11.1 seconds.
@pytest.mark.parametrize(("whole", "said"), [(8.9, False), (11.1, True)])
def test_a_short_attack_is_not_announced(
    whole: float,
    said: bool,
    model: nn.Module,
    data: Data,
    truth: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock(monkeypatch, whole / STEPS / int(truth["clean"].sum()))
    run(model, data)
    assert bool(announced(capsys.readouterr().err)) is said


def test_nothing_is_said_or_tried_without_progress(
    model: nn.Module, data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = clock(monkeypatch, 30.0)
    run(model, data)
    spoken = len(watch.rows)
    watch.rows.clear()
    capsys.readouterr()
    run(model, data, progress=False)
    assert len(watch.rows) == spoken - 8, "the cost is not measured either"
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


def test_an_evaluation_that_goes_on_does_not_say_it_again(
    model: nn.Module,
    data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = clock(monkeypatch, 30.0)
    run(model, data, out=tmp_path)
    assert len(announced(capsys.readouterr().err)) == 1
    watch.rows.clear()
    run(model, data, out=tmp_path)
    assert not announced(capsys.readouterr().err)
    assert not watch.rows


def test_where_no_image_is_right_nothing_is_said(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = clock(monkeypatch, 30.0)
    images = data.test.images(torch.arange(len(data.test)))
    wrong = Brightness()(images.float() / 255).argmax(1).logical_not().long()
    run(Brightness(), Data.from_arrays((images, wrong), (images, wrong), validation=0))
    assert not announced(capsys.readouterr().err)
    assert not watch.rows


def test_one_attack_alone_is_not_announced(
    model: nn.Module, data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock(monkeypatch, 30.0)
    run(model, data, attacks=("apgd-ce", "pgd3"))
    assert not announced(capsys.readouterr().err)


def test_each_radius_of_a_grid_is_announced(
    model: nn.Module, data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock(monkeypatch, 30.0)
    run(model, data, eps_grid=(0.02, 0.3))
    lines = announced(capsys.readouterr().err)
    assert [line.partition(" on ")[0] for line in lines] == ["autoattack", "autoattack@0.02", "autoattack@0.3"]


class Noting(nn.Module):
    """Notes the modes it is asked in; with dropout, so that the mode matters."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.net, self.modes = nn.Dropout(0.5), Brightness(), set[Sequence[bool]]()

    def forward(self, x: Tensor) -> Tensor:
        self.modes.add((self.training, self.drop.training))
        logits: Tensor = self.net(self.drop(x))
        return logits


@pytest.mark.parametrize("per_image", [0.0, 30.0])
def test_measuring_leaves_everything_as_it_was(
    per_image: float, data: Data, truth: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, per_image)
    net, torch_state = Noting(), torch.get_rng_state()
    net.train()
    net.net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    # On the network itself and not on a copy of it.
    monkeypatch.setattr("robustill.evaluation.request.view_of", lambda *args, **kwargs: lambda: None)
    found = run(net, data)
    assert net.modes == {(False, False)}
    assert [module.training for module in net.modules()] == [True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.equal(found.robust, run(net, data, progress=False).robust)
    assert torch.equal(found.robust, truth["robust"])
