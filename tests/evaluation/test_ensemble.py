"""AutoAttack in an evaluation: a verdict after each stage, only on what is left, resumable between batches."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import APGD, FAB, AutoAttack, Square
from robustill.data import Data
from robustill.evaluation import Evaluation, evaluate
from robustill.evaluation import run as module
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
    return evaluate(model, data, **{"eps": 0.11, "attacks": ("pgd3", "autoattack"), "progress": False, **changes})


def test_each_stage_attacks_what_the_one_before_left(
    net: nn.Module, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    inner = module.run_searches

    def noting(searches: Any, model: nn.Module, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        asked.append(len(x))
        return inner(searches, model, x, *rest)

    monkeypatch.setattr(module, "run_searches", noting)
    found = run(net, tiny_data, out=tmp_path, batch_size=64)
    stages = found.stages["autoattack"]
    assert list(stages) == ["apgd-ce", "fab-t", "square"]
    left = [found.verdicts["clean"], *stages.values()]
    assert asked == [int(before.sum()) for before in left[:-1]]
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
    assert [row[0] for row in found.rows()] == ["clean", "pgd3", "autoattack", "worst case"]


def test_verdicts_do_not_depend_on_the_batch_size(net: nn.Module, tiny_data: Data) -> None:
    one, other = run(net, tiny_data, batch_size=7), run(net, tiny_data, batch_size=256)
    for stage, right in one.stages["autoattack"].items():
        assert torch.equal(right, other.stages["autoattack"][stage])


def test_a_finished_stage_is_not_run_again(
    net: nn.Module, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(net, tiny_data, batch_size=16)
    calls = iter(range(100))
    inner = module.run_searches

    def dying(*arguments: Any) -> tuple[Tensor, Tensor]:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return inner(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_searches", dying)
        with pytest.raises(KeyboardInterrupt):
            run(net, tiny_data, out=tmp_path, batch_size=16)
    resumed = run(net, tiny_data, out=tmp_path, batch_size=16)
    for stage, right in whole.stages["autoattack"].items():
        assert torch.equal(right, resumed.stages["autoattack"][stage])
