"""Verdicts against a network whose robustness is known, and what evaluation leaves untouched."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.errors import InputError, ModelError
from robustill.evaluation import Evaluation, evaluate
from robustill.methods import Standard
from robustill.models import build_model
from robustill.training import Settings, train


def run(model: nn.Module, data: Data, **changes: Any) -> Evaluation:
    return evaluate(model, data, **{"eps": 0.1, "progress": False, **changes})


def test_verdicts_are_the_truth(model: nn.Module, data: Data, truth: dict[str, Tensor]) -> None:
    found = run(model, data, attacks=("fgsm", "pgd20", "pgd10x2", "cw"))
    assert found.verdicts["clean"].tolist() == truth["clean"].tolist()
    for name in ("fgsm", "pgd20", "pgd10x2", "cw"):
        assert found.verdicts[name].tolist() == truth["robust"].tolist(), name
    assert 0 < truth["robust"].sum() < truth["clean"].sum() < len(truth["clean"])


def test_nothing_falls_at_radius_zero(model: nn.Module, data: Data, truth: dict[str, Tensor]) -> None:
    found = run(model, data, eps=0.0)
    assert all(torch.equal(verdicts, truth["clean"]) for verdicts in found.verdicts.values())


class Wavering(nn.Module):
    """Wrong on every image as it is, right everywhere around it: an attack can only repair the prediction."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.images = data.test.images(torch.arange(len(data.test))).float() / 255
        self.labels = data.test.labels

    def forward(self, x: Tensor) -> Tensor:
        distance, nearest = torch.cdist(x.flatten(1), self.images.flatten(1)).min(1)
        right = self.labels[nearest]
        shown = torch.where(distance < 1e-3, 1 - right, right)
        return self.weight * nn.functional.one_hot(shown, 2).float() * 5 + 0 * x.sum((1, 2, 3))[:, None]


def test_an_image_wrong_without_an_attack_is_wrong_under_every_attack() -> None:
    levels = torch.arange(20, 240, 40).to(torch.uint8)
    images, labels = levels[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), torch.arange(6) % 2
    data = Data.from_arrays((images, labels), (images, labels), validation=0)
    found = run(Wavering(data), data, attacks=("pgd20", "cw"))
    assert not found.verdicts["clean"].any()
    assert not found.verdicts["pgd20"].any()
    assert not found.robust.any()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_verdicts_do_not_depend_on_the_batch_size(norm: str, tiny_data: Data) -> None:
    torch.manual_seed(3)
    net = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    train(Standard(net), tiny_data, Settings.model_validate({"epochs": 8, "batch_size": 16}), progress=False)
    eps = {"Linf": 0.12, "L2": 0.6}[norm]
    ways = [run(net, tiny_data, eps=eps, norm=norm, attacks=("pgd3",), batch_size=size) for size in (1, 7, 16, 256)]
    for other in ways[1:]:
        assert torch.equal(other.verdicts["pgd3"], ways[0].verdicts["pgd3"])
    assert 0 < ways[0].accuracy("pgd3") < ways[0].accuracy("clean")


def test_the_seed_moves_the_random_starts(model: nn.Module, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    from robustill.evaluation import runner as module

    inner = module.adversarial_points

    def noting(*args: Any, generator: Any, **kwargs: Any) -> Tensor:
        seen.append([each.initial_seed() for each in generator])
        return inner(*args, generator=generator, **kwargs)

    monkeypatch.setattr(module, "adversarial_points", noting)
    for seed in (0, 0, 1):
        run(model, data, attacks=("pgd3",), seed=seed)
    run(model, data, attacks=("pgd4",), seed=0)
    assert seen[0] == seen[1]
    assert len(set(seen[0] + seen[2] + seen[3])) == 3 * len(seen[0]), "a start of its own for each seed, attack, image"


def test_an_undefended_network_falls(tiny_data: Data) -> None:
    torch.manual_seed(0)
    net = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    settings = Settings.model_validate({"epochs": 15, "batch_size": 16, "optimizer": {"lr": 0.05}})
    train(Standard(net), tiny_data, settings, progress=False)
    found = run(net, tiny_data, eps=0.25, attacks=("pgd20",))
    assert found.accuracy("clean") > 0.9
    assert found.accuracy("pgd20") < found.accuracy("clean") - 0.5


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_splits(split: str, model: nn.Module, data: Data) -> None:
    assert len(run(model, data, split=split, attacks=()).robust) == {"train": 20, "validation": 4, "test": 24}[split]


def test_the_model_is_left_as_it_was(data: Data) -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2)).train()
    net[2].eval()
    for weight in net.parameters():
        weight.grad = torch.full_like(weight, 7.0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(net, data)
    assert torch.equal(torch.rand(3), expected), "the global generator was used"
    assert [module.training for module in net.modules()] == [True, True, True, False, True]
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    for weight in net.parameters():
        assert weight.requires_grad
        assert torch.equal(weight.grad, torch.full_like(weight, 7.0))  # type: ignore[arg-type]


def test_the_file_is_the_result(model: nn.Module, data: Data, tmp_path: Path) -> None:
    found = run(model, data, out=tmp_path / "new" / "folder", seed=3)
    written = json.loads((tmp_path / "new" / "folder" / "evaluation.json").read_text())
    assert written == found.to_json()
    assert written["data"] == "grey"
    assert written["split"] == "test"
    assert written["seed"] == 3
    assert written["data_digest"] == data.digest
    assert len(written["model_digest"]) == 64
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "evaluation.json",
        "verdicts.safetensors",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attacks": ("fgsm", "pdg20")}, "unknown attack 'pdg20'\n  hint: did you mean 'pgd20'?"),
        ({"attacks": ("clean",)}, "unknown attack 'clean'"),
        ({"split": "tset"}, "grey has no split 'tset'\n  hint: choose test, validation or train"),
        ({"batch_size": 0}, "batch_size is 0; it must be an integer of 1 or more"),
        ({"eps": -0.1}, "impossible attack"),
        ({"eps": float("nan")}, "impossible attack"),
        ({"norm": "L1"}, "unknown init 'uniform' or norm 'L1'"),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], message: str, model: nn.Module, data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run(model, data, out=tmp_path, **changes)
    assert message in str(caught.value)
    assert not (tmp_path / "verdicts.safetensors").exists()


def test_no_validation_split(model: nn.Module, data: Data) -> None:
    without = Data(data.name, data.class_names, data.train, None, data.test)
    with pytest.raises(InputError, match="grey has no split 'validation'"):
        run(model, without, split="validation")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), "model: the model has 3 classes, the data set 2"),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 2), nn.Softmax(1)), "model: the model returns probabilities"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), "model cannot take images of 1x4x4 from grey"),
    ],
)
def test_models_that_do_not_fit(net: nn.Module, message: str, data: Data) -> None:
    with pytest.raises(ModelError, match=f"^{message}"):
        run(net, data)
