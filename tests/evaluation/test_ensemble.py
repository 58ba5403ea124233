"""AutoAttack in an evaluation: a verdict after each stage, only on what is left, resumable between batches."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from robustill.attacks import APGD, FAB, AutoAttack, Running, Square
from robustill.attacks.rows import State
from robustill.data import Data
from robustill.evaluation import Evaluation, evaluate, runner, store
from robustill.methods import Standard
from robustill.models import build_model
from robustill.training import Settings, train


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ensemble in its order, with few steps."""

    def stages(self: AutoAttack, classes: int) -> dict[str, list[object]]:
        return {
            # So weak that it leaves something for the others.
            "apgd-ce": [APGD(eps=self.eps / 3, steps=3)],
            "fab-t": [FAB(eps=self.eps, steps=4, target=k) for k in range(1, classes)],
            "square": [Square(eps=self.eps, queries=30)],
        }

    monkeypatch.setattr(AutoAttack, "stages", stages)


@pytest.fixture
def net(tiny_data: Data) -> nn.Module:
    torch.manual_seed(3)
    network = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    train(Standard(network), tiny_data, Settings.model_validate({"epochs": 8, "batch_size": 16}), progress=False)
    return network


def run(model: nn.Module, data: Data, **changes: Any) -> Evaluation:
    return evaluate(
        model, data, **{"eps": 0.11, "attacks": ("pgd3", "autoattack"), "progress": False, "checks": False, **changes}
    )


class Watched(Running):
    """Notes how many examples each search is given; `left` steps, then Ctrl-C."""

    asked: ClassVar[list[int]] = []
    steps: ClassVar[int] = 0
    left: ClassVar[int] = 10**9
    before_the_cut: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        Watched.asked.append(len(torch.unique(self.queue[:, 0])))

    def step(self) -> State:
        if Watched.left == 0:
            Watched.before_the_cut()
            raise KeyboardInterrupt
        Watched.steps, Watched.left = Watched.steps + 1, Watched.left - 1
        return super().step()


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    Watched.asked, Watched.steps, Watched.left = [], 0, 10**9
    monkeypatch.setattr(runner, "Running", Watched)


def test_each_stage_attacks_what_the_one_before_left(net: nn.Module, tiny_data: Data, tmp_path: Path) -> None:
    found = run(net, tiny_data, out=tmp_path, batch_size=64)
    stages = found.stages["autoattack"]
    assert list(stages) == ["apgd-ce", "fab-t", "square"]
    left = [found.verdicts["clean"], *stages.values()]
    assert Watched.asked == [int(before.sum()) for before in left[:-1]]
    assert all(bool((after <= before).all()) for before, after in itertools.pairwise(left))
    assert 0 < int(left[-1].sum()) < int(left[1].sum()) < int(left[0].sum())
    assert torch.equal(found.verdicts["autoattack"], left[-1])
    assert torch.equal(found.robust, found.verdicts["pgd3"] & left[-1])
    entry = json.loads((tmp_path / "evaluation.json").read_text())["attacks"]["autoattack"]
    assert entry["accuracy"] == pytest.approx(found.accuracy("autoattack"))
    assert [stage["accuracy"] for stage in entry["stages"].values()] == [
        float(v.double().mean()) for v in stages.values()
    ]
    assert all(stage["seconds"] > 0 for stage in entry["stages"].values())
    assert [row[0].strip() for row in found.rows()] == [
        "clean", "pgd3", "after apgd-ce", "after fab-t", "after square", "autoattack", "worst case"
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "label"), [("autoattack", ""), ("autoattack-fast", " (not the standard)")])
def test_what_is_not_the_standard_says_so(net: nn.Module, tiny_data: Data, name: str, label: str) -> None:
    found = run(net, tiny_data, attacks=(name,))
    assert found.to_json()["attacks"][name]["standard"] is (label == "")
    assert found.rows()[-1][0] == name + label


def test_verdicts_do_not_depend_on_the_batch_size(net: nn.Module, tiny_data: Data) -> None:
    one, other = run(net, tiny_data, batch_size=7), run(net, tiny_data, batch_size=256)
    for stage, right in one.stages["autoattack"].items():
        assert torch.equal(right, other.stages["autoattack"][stage])


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("cut", [2, 9, 25, 45])
@pytest.mark.parametrize("batch_size", [16, 7])
def test_an_ensemble_goes_on_inside_an_attack(
    net: nn.Module,
    tiny_data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    cut: int,
    killed: bool,
) -> None:
    monkeypatch.setattr(store, "_SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(store, "_REST", 0)
    whole = run(net, tiny_data, batch_size=16)
    needed, Watched.steps, Watched.left = Watched.steps, 0, cut
    file, disk = tmp_path / "verdicts.safetensors", []
    Watched.before_the_cut = staticmethod(lambda: disk.append(file.read_bytes()))
    with pytest.raises(KeyboardInterrupt):
        run(net, tiny_data, out=tmp_path, batch_size=16)
    assert cut < needed
    if killed:
        file.write_bytes(disk[0])
    Watched.left = 10**9
    resumed = run(net, tiny_data, out=tmp_path, batch_size=batch_size)
    for stage, right in whole.stages["autoattack"].items():
        assert torch.equal(right, resumed.stages["autoattack"][stage]), stage
    if batch_size == 16:
        # One for the step that the kill may have cost.
        assert needed <= Watched.steps <= needed + 1, "steps were taken twice, or left out"
    assert not list(tmp_path.glob("*.old*"))


def test_the_cost_of_a_curve_leaves_no_trace(net: nn.Module, tiny_data: Data, tmp_path: Path) -> None:
    run(net, tiny_data, out=tmp_path, eps_grid=(0.05,), progress=True)
    stages = {name.removeprefix("level/") for name in load_file(tmp_path / "verdicts.safetensors")}
    assert {stage for stage in stages if "@" in stage} == {stage for stage in stages if "~" in stage}
    assert len(stages) == 2 * 4 + 1
