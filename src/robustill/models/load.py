"""`load_model`: one call for a saved file, a run folder, a fresh architecture, a foreign checkpoint or a hub."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from robustill.errors import ModelError, nearest, nearest_or_own, nearest_path
from robustill.models.build import MODELS, build_model
from robustill.models.foreign import class_count, fill
from robustill.models.foreign_file import read_foreign
from robustill.models.sources import SOURCES
from robustill.models.spec import Classifier, Shape
from robustill.models.weights import read_weights
from robustill.shipped import shipped_models

_STUDENT = "student.safetensors"
_FOREIGN_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".pkl")


def load_model(
    path_or_name: str | Path,
    *,
    num_classes: int | None = None,
    shape: Sequence[int] | None = None,
    device: str | torch.device = "cpu",
    **arguments: Any,
) -> Classifier:
    """Load a classifier that maps images in [0, 1] to logits; it is returned in eval mode.

    Args:
        path_or_name: One of

            - a .safetensors file of `save_model`, or a run folder (its student.safetensors);
            - an architecture of `MODELS`, with fresh weights (needs `num_classes`), which the global generator draws:
              `torch.manual_seed` before makes them the same again;
            - "robustill:NAME", a trained model that comes with this library, see `robustill list models`;
            - "ARCH@PATH", a checkpoint of other code, such as "wrn_34_10@teacher.pt";
            - "robustbench:NAME" or "robustbench:DATASET/THREAT/NAME", "timm:NAME", or "hf-hub:OWNER/NAME",
              which need further packages and a network.
        num_classes: Classes of the data set; a model with another count is an error.
        shape: Images (C, H, W); a saved model for another shape is an error. Default (3, 32, 32) where it is free.
        device: Where the model is put.
        **arguments: Arguments of the architecture (also `mean`, `std`) or of the source.

    Returns:
        The network, with `spec`, `class_names` and `extra`.

    Raises:
        ModelError: The source does not exist, cannot be read safely, or does not fit.
        MissingExtraError: A package the source needs is not installed.

    >>> load_model("resnet18", num_classes=10, width=8).spec.arguments
    {'width': 8}
    """
    try:
        model = _open(path_or_name, num_classes, shape, arguments)
    except OSError as error:
        raise ModelError(
            f"{str(path_or_name)[:200]!r} cannot be read: {error.strerror or error}",
            "check the path and its permissions",
        ) from error
    if num_classes is not None and model.spec.num_classes != num_classes:
        raise ModelError(
            f"{path_or_name}: the model has {model.spec.num_classes} classes, the data set {num_classes}",
            hint="use a model trained on this data set",
        )
    if shape is not None and tuple(model.spec.shape) != tuple(shape):
        raise ModelError(
            f"{path_or_name}: the model takes images of {_text(model.spec.shape)}, the data has {_text(shape)}",
            "choose a model and data of one image size",
        )
    return model.eval().to(device)


def _open(
    source: str | Path, num_classes: int | None, shape: Sequence[int] | None, arguments: dict[str, Any]
) -> Classifier:
    if isinstance(source, Path):
        return _from_path(source, arguments)
    kind, colon, rest = source.partition(":")
    if colon and kind in SOURCES:
        return SOURCES[kind](rest, **arguments)
    size: Any = (3, 32, 32) if shape is None else tuple(shape)
    if source in MODELS:
        return _fresh(source, num_classes, size, arguments)
    architecture, at, path = source.partition("@")
    if at and architecture in MODELS:
        return _from_foreign(architecture, path, num_classes, size, arguments)
    if at and architecture.isidentifier() and not Path(source).exists():
        raise ModelError(
            f"unknown architecture {architecture!r} in {source!r}", hint=nearest_or_own(architecture, MODELS)
        )
    return _from_path(Path(source), arguments)


def _fresh(name: str, num_classes: int | None, shape: Shape, arguments: dict[str, Any]) -> Classifier:
    if num_classes is None:
        raise ModelError(f"{name} with fresh weights needs the number of classes", hint="pass num_classes=10")
    return build_model(name, num_classes=num_classes, shape=shape, **arguments)


def _from_path(path: Path, arguments: dict[str, Any]) -> Classifier:
    if path.is_dir():
        path = _in_run_folder(path)
    if not path.is_file():
        raise _not_found(path)
    if path.suffix in _FOREIGN_SUFFIXES:
        raise ModelError(
            f"{path} does not say which architecture it holds",
            hint=f'name it: "ARCHITECTURE@{path}", such as "resnet18@{path}"',
        )
    if arguments:
        raise ModelError(
            f"{path} brings its own arguments; {', '.join(sorted(arguments))} cannot be given", hint="leave them out"
        )
    return read_weights(path)


def _in_run_folder(folder: Path) -> Path:
    path = folder / _STUDENT
    if not path.is_file():
        unfinished = any((folder / name).exists() for name in ("last.pt", "last.previous.pt"))
        hint = "the run has not saved a student yet: resume it" if unfinished else "give a run folder or a file"
        raise ModelError(f"the folder {folder} has no {_STUDENT}", hint=hint)
    return path


def check_source(source: str | Path) -> None:
    """Raise `ModelError` if `source` names a file or folder that is not there, before anything else is asked of it."""
    text = str(source)
    if isinstance(source, str) and (text.partition(":")[0] in SOURCES or text in MODELS or "@" in text):
        return
    try:
        there = Path(source).exists()
    except (OSError, ValueError):  # too long, or no path at all, which loading tells of
        return
    if not there:
        raise _not_found(Path(source))


def tell_fresh(source: str | Path) -> None:
    """Say on standard error that `source` is an architecture without trained weights, if it is one."""
    if isinstance(source, str) and source in MODELS:
        sys.stderr.write(f"note: {source} is an architecture with fresh random weights, not a trained model\n")


def _not_found(path: Path) -> ModelError:
    if path.suffix or path.name != str(path):
        return ModelError(f"no such file or folder: {path}", nearest_path(path))
    hint = f'write "robustill:{path}"' if str(path) in shipped_models() else nearest(str(path), MODELS)
    return ModelError(f"{str(path)!r} is neither an architecture nor a file or folder", hint=hint)


def _from_foreign(
    architecture: str, path: str, num_classes: int | None, shape: Shape, arguments: dict[str, Any]
) -> Classifier:
    weights = read_foreign(path)
    classes = num_classes if num_classes is not None else class_count(weights)
    if classes is None:
        raise ModelError(f"{path} does not show its number of classes", hint="pass num_classes")
    # Its weights are overwritten, so building it must not move the global random state.
    with torch.random.fork_rng(devices=[]):
        model = build_model(architecture, num_classes=classes, shape=shape, **arguments)
    fill(model, weights, path)
    return model


def _text(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)
