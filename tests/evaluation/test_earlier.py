"""What a folder of an evaluation knows goes on to count; what is of another question is kept beside."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustill.data import Data, load_data
from robustill.evaluation import Evaluation, evaluate
from robustill.models import build_model

from .conftest import Brightness


def run(model: nn.Module, data: Data, out: Path, *attacks: str, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "progress": False, "checks": False, **changes}
    return evaluate(model, data, attacks=attacks, out=out, **given)


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return found


def test_the_file_goes_on_to_count_earlier_attacks(model: nn.Module, data: Data, tmp_path: Path) -> None:
    strong = run(model, data, tmp_path, "pgd20")
    weak = run(model, data, tmp_path, "fgsm", eps_grid=[0.01])
    assert list(weak.verdicts) == ["clean", "fgsm"], "what is returned is what was asked for"
    found = written(tmp_path)
    assert list(found["attacks"]) == ["fgsm", "pgd20"]
    assert found["attacks"]["pgd20"] == strong.to_json()["attacks"]["pgd20"]
    assert found["robust"]["accuracy"] == float((strong.robust & weak.robust).double().mean())
    assert found["seconds"] == pytest.approx(strong.seconds["pgd20"] + sum(weak.seconds.values()), abs=2e-3)
    run(model, data, tmp_path, "cw")
    assert written(tmp_path)["curve"] == found["curve"], "a curve that was not asked for again is still true"
    assert list(written(tmp_path)["attacks"]) == ["cw", "fgsm", "pgd20"]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["evaluation.json"]


def test_stages_and_checks_of_an_earlier_ensemble_stay(tmp_path: Path) -> None:
    data = load_data("digits")
    model = build_model("cnn_small", num_classes=10, shape=data.shape)
    run(model, data, tmp_path, "autoattack-fast", checks=True, images=16)
    before = written(tmp_path)
    run(model, data, tmp_path, "fgsm", checks=True, images=16)
    after = written(tmp_path)
    assert after["attacks"]["autoattack-fast"] == before["attacks"]["autoattack-fast"]
    assert after["attacks"]["autoattack-fast"]["stages"]
    assert after["checks"]["upper-bound-only"]["value"]["attacks"] == ["fgsm", "autoattack-fast"]
    run(model, data, tmp_path, "fgsm", images=16)
    assert written(tmp_path)["checks"] == after["checks"]
    run(model, data, tmp_path, "pgd3", images=16)
    assert "checks" not in written(tmp_path), "they did not know of this attack"


@pytest.mark.parametrize(
    "changes", [{"eps": 0.05}, {"norm": "L2"}, {"images": 10}, {"seed": 1}, {"split": "validation"}], ids=str
)
def test_another_question_is_put_aside(changes: dict[str, Any], model: nn.Module, data: Data, tmp_path: Path) -> None:
    run(model, data, tmp_path, "pgd20")
    before = written(tmp_path)
    run(model, data, tmp_path, "fgsm", **changes)
    assert list(written(tmp_path)["attacks"]) == ["fgsm"]
    assert json.loads((tmp_path / "evaluation.old.json").read_text()) == before
    assert (tmp_path / "verdicts.old.safetensors").exists()


def test_other_weights_are_another_question(model: nn.Module, data: Data, tmp_path: Path) -> None:
    run(model, data, tmp_path, "pgd20")
    other = Brightness()
    with torch.no_grad():
        other.scale.mul_(2)
    run(other, data, tmp_path, "fgsm")
    assert list(written(tmp_path)["attacks"]) == ["fgsm"]
    assert (tmp_path / "evaluation.old.json").exists()


def test_transfers_count_only_beside_their_own_surrogate(model: nn.Module, data: Data, tmp_path: Path) -> None:
    first, second = (build_model("cnn_small", num_classes=2, shape=data.shape) for _ in range(2))
    run(model, data, tmp_path, "fgsm", transfer_from=first)
    one = written(tmp_path)
    run(model, data, tmp_path, "cw")
    assert list(written(tmp_path)["attacks"]) == ["cw", "fgsm", "transfer-fgsm"]
    assert written(tmp_path)["transfer_from"] == one["transfer_from"]
    run(model, data, tmp_path, "pgd3", transfer_from=second)
    assert list(written(tmp_path)["attacks"]) == ["pgd3", "transfer-pgd3", "cw", "fgsm"]
    assert written(tmp_path)["transfer_from"] != one["transfer_from"]


@pytest.mark.parametrize("damage", ["verdicts", "accuracy", "json", "list", "attacks", "entry", "stages"])
def test_what_the_verdicts_do_not_bear_out_is_dropped(
    damage: str, model: nn.Module, data: Data, tmp_path: Path
) -> None:
    run(model, data, tmp_path, "pgd20")
    found = written(tmp_path)
    if damage == "verdicts":
        (tmp_path / "verdicts.safetensors").unlink()
    found["attacks"]["pgd20"] = {"accuracy": 0.125} if damage == "accuracy" else found["attacks"]["pgd20"]
    others = {"attacks": [], "entry": {"pgd20": 7}, "stages": {"pgd20": {"accuracy": 0.125, "stages": 7}}}
    found["attacks"] = others.get(damage, found["attacks"])
    text = {"json": "{", "list": "[]"}.get(damage, json.dumps(found))
    (tmp_path / "evaluation.json").write_text(text)
    run(model, data, tmp_path, "fgsm")
    assert list(written(tmp_path)["attacks"]) == ["fgsm"]
