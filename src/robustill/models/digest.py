"""Digests that identify a file and a network."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustill.models.frozen import Frozen
from robustill.models.spec import Classifier

# What torch keeps in every module, hooks among it, and what files say of classes and origin.
_NO_SETTINGS = {*vars(nn.Module()), "_compiled_call_impl", "class_names", "extra"}


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     print(file_digest(file.name)[:12])
    e3b0c44298fc
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_digest(model: nn.Module) -> str:
    """Return the SHA-256 of what decides a network's function, as 64 hexadecimal digits.

    That is the names, shapes, types and bytes of its state dict. Of a network that neither `build_model` nor
    `load_model` made it is also the class of each of its modules and what these hold as plain attributes: numbers,
    words, functions by their names, and containers of these. What reads globals or closures cannot be told apart.

    It identifies a teacher whatever its source, device or memory layout; a `Frozen` network has the digest of the
    network it holds.

    >>> from torch import nn
    >>> len(model_digest(nn.Linear(2, 2)))
    64
    >>> model_digest(nn.LeakyReLU(0.1)) == model_digest(nn.LeakyReLU(0.3))
    False
    """
    return _digest(model, [])


def _digest(model: nn.Module, seen: list[nn.Module]) -> str:
    network = model.network if isinstance(model, Frozen) else model
    tensors, settings = network.state_dict(), list[Any]()
    if not _is_known(network):
        tensors |= dict(network.named_buffers(remove_duplicate=False))  # also those that no file holds
        modules = dict(network.named_modules(remove_duplicate=False))
        seen += modules.values()
        settings = [[name, _name(type(each)), _attributes(each, seen)] for name, each in modules.items()]
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    digest.update(json.dumps(settings).encode() if settings else b"")
    return digest.hexdigest()


def _is_known(network: nn.Module) -> bool:
    """Return whether it is an architecture of the package: files and runs know those by their tensors."""
    return isinstance(network, Classifier) and type(network).__module__.startswith("robustill.")


def _attributes(module: nn.Module, seen: list[nn.Module]) -> dict[str, Any]:
    """Return the plain attributes of one module; of torch's own only the public ones, which its releases keep."""
    if isinstance(module, Frozen):
        return {"network": _plain(module.network, seen)}
    public = type(module).__module__.startswith("torch.")
    found = {}
    for name, value in sorted(vars(module).items()):
        # Nothing may be a tensor that the first call makes: what is not there yet must not make another network of it.
        if value is None or name in _NO_SETTINGS or "device" in name or (public and name.startswith("_")):
            continue
        try:
            found[name] = _plain(value, seen)
        except TypeError:
            continue
    return found


def _plain(value: Any, seen: list[nn.Module]) -> Any:
    """Return a plain value as JSON holds it; a network that is no submodule by its digest, once.

    Raises:
        TypeError: It is something else, or holds something else.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case torch.dtype() | Enum():
            return str(value)
        case type() | FunctionType() | BuiltinFunctionType():
            return _name(value)
        case nn.Module():
            known = next((k for k, each in enumerate(seen) if each is value), None)
            return _digest(value, seen) if known is None else known
        case Mapping():
            return {"items": [[_plain(key, seen), _plain(each, seen)] for key, each in value.items()]}
        case list() | tuple():
            return [_plain(each, seen) for each in value]
        case set() | frozenset():
            return {"set": sorted(json.dumps(_plain(each, seen)) for each in value)}
    if not is_dataclass(value) or isinstance(value, Tensor):
        raise TypeError(f"{type(value).__name__} is not plain")
    return [_name(type(value)), {each.name: _plain(getattr(value, each.name), seen) for each in fields(value)}]


def _name(value: Any) -> str:
    return f"{_module(value.__module__)}.{value.__qualname__}"


def _module(name: str | None) -> str | None:
    """Return the name that a module has in every process; the file that was started is called otherwise in each."""
    if name not in ("__main__", "__mp_main__"):
        return name
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return str(spec.name) if spec is not None else "__main__" if file is None else Path(file).stem
