"""The metadata of a weights file: a `ModelSpec`, class names and free text, checked on reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from robustill.errors import ModelError, nearest_or_own
from robustill.models.build import MODELS
from robustill.models.seal import SEAL
from robustill.models.spec import ModelSpec, checked_classes, checked_normalization, checked_shape

FORMAT = "robustill/1"
_REQUIRED = ("architecture", "arguments", "num_classes", "shape", "class_names", "input_range", "mean", "std")


def encode(spec: ModelSpec, class_names: Sequence[str] | None, extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata of a file, in sorted order.

    Raises:
        ModelError: The network is not one that `build_model` makes, the class names do not fit it, or a key of
            `extra` is taken.
    """
    if spec.name not in MODELS:
        raise ModelError(
            f"a model from {spec.name!r} cannot be saved", hint="only architectures of this library can be saved"
        )
    names = None if class_names is None else _checked_names(list(class_names), spec.num_classes)
    fields = {
        "format": FORMAT,
        "architecture": spec.name,
        "arguments": json.dumps(dict(spec.arguments), sort_keys=True),
        "num_classes": str(spec.num_classes),
        "shape": json.dumps(spec.shape),
        "class_names": json.dumps(names),
        "input_range": "[0,1]",
        "mean": json.dumps(spec.mean),
        "std": json.dumps(spec.std),
    }
    for key in extra or {}:
        if key in (*fields, SEAL):
            raise ModelError(f"extra metadata must not be called {key!r}: the file format uses that name")
    return dict(sorted({**fields, **(extra or {})}.items()))


def decode(metadata: Mapping[str, str], where: str) -> tuple[ModelSpec, tuple[str, ...] | None, dict[str, str]]:
    """Return the spec, class names and extra metadata of a file; every value is checked before it is used.

    Raises:
        ModelError: Metadata is missing, of another format, or has values that no saved model has.
    """
    kind = metadata.get("format", "")
    if not kind.startswith("robustill/"):
        raise ModelError(
            f"{where} does not say which architecture it holds",
            hint='name it: "ARCHITECTURE@' + where + '", such as "resnet18@' + where + '"',
        )
    if kind != FORMAT:
        raise ModelError(f"{where} has format {kind!r}, this version reads {FORMAT!r}", hint="update robustill")
    absent = [name for name in _REQUIRED if name not in metadata]
    if absent:
        raise ModelError(f"{where} lacks metadata: {', '.join(absent)}")
    name = metadata["architecture"]
    if name not in MODELS:
        raise ModelError(
            f"{where} holds a network {name[:100]!r}, which is not known here",
            nearest_or_own(name, MODELS),
        )
    try:
        spec, names = _spec(metadata), _names(metadata)
    except (ModelError, ValueError, RecursionError) as error:
        raise ModelError(f"{where} has invalid metadata: {error}", "write the file anew with save_model") from error
    extra = {key: value for key, value in metadata.items() if key not in (*_REQUIRED, "format")}
    return spec, names, extra


def _spec(metadata: Mapping[str, str]) -> ModelSpec:
    if metadata["input_range"] != "[0,1]":
        raise ModelError(f"images in {metadata['input_range']} instead of [0,1]")
    arguments = json.loads(metadata["arguments"])
    if not isinstance(arguments, dict) or not all(_is_plain(value) for value in arguments.values()):
        raise ModelError("arguments must be a JSON object of numbers, strings and lists of them")
    shape = checked_shape(json.loads(metadata["shape"]))
    mean, std = checked_normalization(json.loads(metadata["mean"]), json.loads(metadata["std"]), shape[0])
    classes = checked_classes(json.loads(metadata["num_classes"]))
    return ModelSpec(metadata["architecture"], classes, shape, mean, std, arguments)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, (str, int, float, bool)) for each in value)
    return value is None or isinstance(value, (str, int, float, bool))


def _names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    names = json.loads(metadata["class_names"])
    return None if names is None else _checked_names(names, int(metadata["num_classes"]))


def _checked_names(names: object, num_classes: int) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError("class names must be a list of strings")
    if len(names) != num_classes:
        raise ModelError(
            f"there are {len(names)} class names, the model has {num_classes} classes", "give one name per class"
        )
    return tuple(names)
