"""Models by a source's name: those that come with robustill; RobustBench, timm and the hub need a network."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from robustill.errors import MissingExtraError, ModelError, nearest
from robustill.models.spec import Classifier, ModelSpec, Normalize, checked_normalization, checked_shape
from robustill.models.weights import read_weights
from robustill.shipped import shipped_models

_ROBUSTBENCH_DATA = {"cifar10": (10, 32), "cifar100": (100, 32), "imagenet": (1000, 224)}
_HUB_FILES = ("model.safetensors", "student.safetensors")


class SourceModel(Classifier):
    """A network of another library behind this library's input range: images in [0, 1] to logits."""

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        if spec.mean is not None and spec.std is not None:
            self.normalize = Normalize(spec.mean, spec.std)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], [B, C, H, W], to logits [B, classes]."""
        logits: Tensor = self.network(self.normalize(x))
        return logits


def from_shipped(name: str, **arguments: Any) -> Classifier:
    """Load a trained model that comes with robustill; its card says how it was trained and how robust it is.

    Args:
        name: Such as "digits_mtard_cnn-small"; `robustill list models` names them all.
        **arguments: None are accepted: the file brings its own.

    Raises:
        ModelError: There is none of that name.

    >>> from_shipped("digits_mtard_cnn-small").spec.name
    'cnn_small'
    """
    _no_arguments("robustill", arguments)
    known = shipped_models()
    if name not in known:
        raise ModelError(f"robustill comes with no model {name!r}", hint=nearest(name, known))
    return read_weights(known[name])


def from_robustbench(name: str, *, model_dir: str | Path = "models", **arguments: Any) -> Classifier:
    """Load "NAME" (CIFAR-10, Linf) or "DATASET/THREAT/NAME" from RobustBench.

    Args:
        name: Such as "Wong2020Fast" or "cifar100/Linf/Rebuffi2021Fixing_28_10_cutmix_ddpm".
        model_dir: Where RobustBench keeps its downloads.
        **arguments: None are accepted.

    Raises:
        MissingExtraError: RobustBench cannot be imported.
        ModelError: It has no such model, or the download failed.
    """
    _no_arguments("robustbench", arguments)
    parts = name.split("/")
    if len(parts) not in (1, 3):
        raise ModelError(f"unknown RobustBench model {name!r}", hint='write "robustbench:DATASET/THREAT/NAME"')
    dataset, threat, model_name = parts if len(parts) == 3 else ("cifar10", "Linf", name)
    if dataset not in _ROBUSTBENCH_DATA:
        raise ModelError(f"RobustBench has no data set {dataset!r}", hint=f"one of {', '.join(_ROBUSTBENCH_DATA)}")
    package = _package("robustbench.utils", "pip install robustbench torchvision")
    classes, side = _ROBUSTBENCH_DATA[dataset]
    network = _fetch(
        f"robustbench:{name}",
        lambda: package.load_model(
            model_name=model_name, dataset=dataset, threat_model=threat, model_dir=str(model_dir)
        ),
    )
    return SourceModel(network, ModelSpec(f"robustbench:{name}", classes, (3, side, side)))


def from_timm(name: str, **arguments: Any) -> Classifier:
    """Load a pretrained network of timm and put its normalisation in front of it.

    Args:
        name: Such as "resnet50.a1_in1k"; names of other repositories and of local folders are refused, since timm may
            unpickle what it finds there.
        **arguments: Passed to `timm.create_model` (`pretrained=True` unless given): numbers and switches.

    Raises:
        MissingExtraError: timm cannot be imported.
        ModelError: It has no such model, the download failed, or an argument is neither a number nor a switch.
    """
    if ":" in name or "/" in name:
        raise ModelError(f"timm:{name} is no model of timm itself", hint="give a file instead: ARCH@PATH")
    for key, value in arguments.items():
        # Words and tables name files, addresses and folders.
        if not isinstance(value, bool | int | float):
            raise ModelError(f"timm:{name} takes numbers and switches, not {key} = {value!r}")
    package = _package("timm", "pip install timm torchvision")
    network = _fetch(f"timm:{name}", lambda: package.create_model(name, **{"pretrained": True, **arguments}))
    config = network.pretrained_cfg
    shape = checked_shape(config["input_size"])
    mean, std = checked_normalization(config["mean"], config["std"], shape[0])
    return SourceModel(network, ModelSpec(f"timm:{name}", network.num_classes, shape, mean, std, dict(arguments)))


def from_hub(name: str, *, revision: str | None = None, **arguments: Any) -> Classifier:
    """Load a weights file of this library from the Hugging Face hub.

    Args:
        name: "OWNER/NAME" (its model.safetensors or student.safetensors) or "OWNER/NAME/FILE".
        revision: Branch, tag or commit.
        **arguments: None are accepted: the file brings its own.

    Raises:
        MissingExtraError: huggingface-hub cannot be imported.
        ModelError: There is no such repository or file, or the download failed.
    """
    _no_arguments("hf-hub", arguments)
    owner_and_name, file = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
    files = (file,) if file else _HUB_FILES
    return read_weights(Path(_fetch(f"hf-hub:{name}", _downloader(owner_and_name, files, revision))))


SOURCES: dict[str, Callable[..., Classifier]] = {
    "robustill": from_shipped,
    "robustbench": from_robustbench,
    "timm": from_timm,
    "hf-hub": from_hub,
}


def _downloader(repository: str, files: Sequence[str], revision: str | None) -> Callable[[], str]:
    """Return a function that downloads the first of `files` that the repository has, and returns its path."""
    install = "pip install 'robustill[hub]'"
    hub, errors = _package("huggingface_hub", install), _package("huggingface_hub.errors", install)

    def download() -> str:
        for file in files[:-1]:
            try:
                return str(hub.hf_hub_download(repository, file, revision=revision))
            except errors.EntryNotFoundError:
                continue
        return str(hub.hf_hub_download(repository, files[-1], revision=revision))

    return download


def _package(name: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    # A torchvision that does not match torch fails with a RuntimeError inside the import.
    except (ImportError, RuntimeError) as error:
        root = name.partition(".")[0]
        raise MissingExtraError(f"{root} is needed and cannot be imported: {error}", hint=install) from error


def _fetch(source: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        raise ModelError(
            f"{source} could not be loaded: {type(error).__name__}: {error}",
            hint="check the name and the network; without one, give a file: ARCH@PATH",
        ) from error


def _no_arguments(source: str, arguments: dict[str, Any]) -> None:
    if arguments:
        raise ModelError(f"{source} models take no arguments, {', '.join(sorted(arguments))} given", "leave them out")
