"""What a method was constructed with, in plain values: a run that goes on must have the same."""

from __future__ import annotations

import inspect
import re
from typing import Any

from torch import nn

from robustill.methods.base import AdversarialMethod, Method
from robustill.methods.wrapper import Wrapper
from robustill.models import Frozen

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def hyperparameters(method: Method) -> dict[str, Any]:
    """Return numbers, texts and None among the constructor's arguments, by attribute path; of attacks, their `repr`.

    Those of wrapped methods and other parts too, such as `base.alpha`; not those of networks. Attributes that no
    argument names may change during a run, and are left out.

    >>> from robustill.methods import IGDM, RSLAD
    >>> method = IGDM(RSLAD(nn.Linear(2, 2), nn.Linear(2, 2), alpha=0.5))
    >>> {name: value for name, value in hyperparameters(method).items() if "attack" not in name}
    {'alpha': 1.0, 'b': 1.0, 'g': 1.0, 'base.alpha': 0.5}
    """
    return _of(method, "", {id(network) for network in method.trained().values()})


def same_each_time(value: object) -> str:
    """Return `repr(value)` without the addresses in memory, which differ between processes."""
    return _ADDRESS.sub("", repr(value))


def _of(part: nn.Module, path: str, networks: set[int]) -> dict[str, Any]:
    asked = _arguments(type(part))
    found = {path + name: _plain(value) for name, value in vars(part).items() if name in asked and _is_plain(value)}
    if isinstance(part, AdversarialMethod) and not isinstance(part, Wrapper):
        found[f"{path}attack"] = same_each_time(part.attack)
    for name, child in part.named_children():
        if id(child) not in networks and not isinstance(child, Frozen):
            found |= _of(child, f"{path}{name}.", networks)
    return found


def _arguments(kind: type) -> set[str]:
    inits = [vars(each)["__init__"] for each in kind.__mro__ if "__init__" in vars(each)]
    return {name for init in inits for name in inspect.signature(init).parameters}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, int | float | str)


def _plain(value: Any) -> Any:
    # A checkpoint holds plain containers alone: NumPy's numbers and enumerations are kinds of these and no such thing.
    kinds = (bool, int, float, str)
    return next((kind(value) for kind in kinds if isinstance(value, kind)), None)
