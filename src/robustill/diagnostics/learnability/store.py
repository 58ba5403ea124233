"""A `Learnability` as one file of tensors without pickles: verdicts as bits, and JSON that says what they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustill.diagnostics.learnability.scores import Learnability
from robustill.errors import DataError, InputError, ModelError
from robustill.models.seal import save_sealed
from robustill.models.weights import read_safetensors

_FORMAT = "robustill-learnability/1"
_ABOUT = "about"
_PER_IMAGE = {"agreed": torch.int32, "belief": torch.float32, "labels": torch.int32, "index": torch.int32}
_PER_IMAGE["rows"] = torch.int64


def save_learnability(found: Learnability, path: str | Path) -> None:
    """Write one file, atomically: a bit per reference and image, 20 bytes more per image.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> import tempfile
    >>> from robustill.diagnostics import load_learnability, unlearnable
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    >>> found = unlearnable({"net/0": net}, data, "fgsm", eps=0.1, progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_learnability(found, f"{folder}/set.safetensors")
    ...     print(load_learnability(f"{folder}/set.safetensors").references)
    ('net/0',)
    """
    path = Path(path)
    tensors = {name: getattr(found, name).to(dtype).contiguous() for name, dtype in _PER_IMAGE.items()}
    tensors["right"] = torch.from_numpy(np.packbits(found.right.numpy(), axis=1))
    about = json.dumps({"references": list(found.references), _ABOUT: found.about}, allow_nan=False)
    save_sealed(tensors, path, {"format": _FORMAT, _ABOUT: about})


def load_learnability(path: str | Path) -> Learnability:
    """Read what `save_learnability` wrote; nothing in the file is executed.

    Raises:
        DataError: No such file, damaged, of another format, or with contents that contradict each other.

    >>> import tempfile
    >>> import torch
    >>> from robustill.errors import DataError
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         load_learnability(f"{folder}/set.safetensors")
    ...     except DataError as error:
    ...         print(type(error).__name__)
    DataError
    """
    path = Path(path)
    try:
        tensors, metadata = read_safetensors(path)
    except ModelError as error:
        raise DataError(error.message, "robustill unlearnable writes such a file") from error
    if metadata.get("format") != _FORMAT:
        raise DataError(f"{path} holds no unlearnable set: its format is {metadata.get('format')!r}, not {_FORMAT!r}")
    try:
        names, about = _described(metadata)
        return Learnability(**_unpacked(tensors, len(names)), references=names, about=about)
    except (InputError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} contradicts itself: {reason}", "make it again: robustill unlearnable") from error


def _described(metadata: dict[str, str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    found = json.loads(metadata[_ABOUT])
    names, about = found["references"], found[_ABOUT]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(about, dict):
        raise ValueError("its description is not of the right form")
    if len(set(names)) != len(names):
        raise ValueError("two references have one name")
    return tuple(names), about


def _unpacked(tensors: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    n = len(tensors["labels"])
    bits = tensors["right"]
    if bits.dtype != torch.uint8 or tuple(bits.shape) != (count, -(-n // 8)):
        raise ValueError(f"{list(bits.shape)} bytes of verdicts for {count} references and {n} images")
    for name, dtype in _PER_IMAGE.items():
        if tensors[name].dtype != dtype or tuple(tensors[name].shape) != (n,):
            raise ValueError(f"{name} is {tensors[name].dtype} {list(tensors[name].shape)}")
    found = {name: tensors[name] if name == "belief" else tensors[name].long() for name in _PER_IMAGE}
    if n == 0 or bool((found["labels"] < 0).any()) or bool((found["agreed"] < -1).any()):
        raise ValueError("no images, or a class below 0")
    if int(found["index"][0]) < 0 or bool((found["index"].diff() <= 0).any()):
        raise ValueError("positions do not ascend")
    if not bool(((found["belief"] >= 0) & (found["belief"] <= 1)).all()):
        raise ValueError("probabilities outside [0, 1]")
    right = np.unpackbits(bits.numpy(), axis=1, count=n).astype(bool)
    return {**found, "right": torch.from_numpy(right)}
