"""Models from RobustBench, timm and the hub, with stand-ins for the packages: none of them is needed here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from robustill.errors import MissingExtraError, ModelError
from robustill.models import build_model, load_model, save_model

X = torch.rand(2, 3, 32, 32)


def fake(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    module = ModuleType(name)
    for key, value in attributes.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


def unreachable(*_: Any, **__: Any) -> Any:
    raise ConnectionError("no route to host")


@pytest.mark.parametrize(
    ("source", "package", "install"),
    [
        ("robustbench:Wong2020Fast", "robustbench", "pip install robustbench"),
        ("timm:resnet18", "timm", "pip install timm"),
        ("hf-hub:owner/name", "huggingface_hub", r"pip install 'robustill\[hub\]'"),
    ],
)
def test_a_missing_package_says_how_to_install_it(monkeypatch, source, package, install) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} is needed(.|\n)*{install}"):
        load_model(source)


def test_robustbench_is_asked_for_the_right_model(monkeypatch) -> None:
    asked: list[dict[str, Any]] = []

    def zoo(**arguments: Any) -> nn.Module:
        asked.append(arguments)
        return nn.Sequential(nn.Flatten(), nn.Linear(3072, 100 if arguments["dataset"] == "cifar100" else 10))

    fake(monkeypatch, "robustbench")
    fake(monkeypatch, "robustbench.utils", load_model=zoo)
    model = load_model("robustbench:Wong2020Fast", num_classes=10)
    assert model(X).shape == (2, 10)
    assert not model.training
    assert load_model("robustbench:cifar100/L2/Some").spec.num_classes == 100
    assert [(a["model_name"], a["dataset"], a["threat_model"]) for a in asked] == [
        ("Wong2020Fast", "cifar10", "Linf"),
        ("Some", "cifar100", "L2"),
    ]
    with pytest.raises(ModelError, match="has 10 classes, the data set 100"):
        load_model("robustbench:Wong2020Fast", num_classes=100)
    for wrong, message in (("a/b", "DATASET/THREAT/NAME"), ("mnist/Linf/a", "no data set 'mnist'")):
        with pytest.raises(ModelError, match=message):
            load_model(f"robustbench:{wrong}")
    with pytest.raises(ModelError, match="take no arguments"):
        load_model("robustbench:Wong2020Fast", width=2)


def test_timm_models_get_their_normalisation(monkeypatch) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 5))
    network.num_classes = 5  # type: ignore[assignment]
    config = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "input_size": (3, 32, 32)}
    network.pretrained_cfg = config  # type: ignore[assignment]
    asked: list[Any] = []

    def create(name: str, **arguments: Any) -> nn.Module:
        asked.append((name, arguments))
        return network

    fake(monkeypatch, "timm", create_model=create)
    model = load_model("timm:net.tag", num_classes=5)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    torch.testing.assert_close(model(X), network((X - mean) / std))
    assert asked == [("net.tag", {"pretrained": True})]
    with pytest.raises(ModelError, match="cannot be saved"):
        save_model(model, "never.safetensors")


@pytest.mark.parametrize("source", ["robustbench:A", "timm:a", "hf-hub:owner/name"])
def test_a_missing_network_is_one_clear_error(monkeypatch, source: str) -> None:
    fake(monkeypatch, "robustbench")
    fake(monkeypatch, "robustbench.utils", load_model=unreachable)
    fake(monkeypatch, "timm", create_model=unreachable)
    fake(monkeypatch, "huggingface_hub", hf_hub_download=unreachable)
    fake(monkeypatch, "huggingface_hub.errors", EntryNotFoundError=KeyError)
    with pytest.raises(ModelError, match=rf"{source} could not be loaded: ConnectionError: no route(.|\n)*network"):
        load_model(source)


def test_the_hub_file_is_loaded_by_its_metadata(monkeypatch, tmp_path: Path) -> None:
    saved = build_model("resnet18", num_classes=3, width=2)
    save_model(saved, tmp_path / "student.safetensors", class_names=["a", "b", "c"])
    asked: list[tuple[str, str, str | None]] = []

    def download(repository: str, file: str, *, revision: str | None) -> str:
        asked.append((repository, file, revision))
        if not (tmp_path / file).exists():
            raise KeyError(file)
        return str(tmp_path / file)

    fake(monkeypatch, "huggingface_hub", hf_hub_download=download)
    fake(monkeypatch, "huggingface_hub.errors", EntryNotFoundError=KeyError)
    model = load_model("hf-hub:owner/name", num_classes=3, revision="v1")
    assert torch.equal(model(X), saved.eval()(X))
    assert model.class_names == ("a", "b", "c")
    assert asked == [("owner/name", f"{kind}.safetensors", "v1") for kind in ("model", "student")]
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model("hf-hub:owner/name/sub/other.safetensors")
    assert asked[-1] == ("owner/name", "sub/other.safetensors", None)
    with pytest.raises(ModelError, match="take no arguments, width"):
        load_model("hf-hub:owner/name", width=2)


def test_an_import_that_breaks_counts_as_missing(monkeypatch) -> None:
    class Broken(SimpleNamespace):
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "timm":
                raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match="torchvision::nms"):
        load_model("timm:resnet18")
