"""Read the tensors of a checkpoint that other code wrote, without running anything it holds."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import safe_globals

from robustill.errors import ModelError, nearest_path
from robustill.models.weights import read_safetensors
from robustill.terminal import printable

# In the order of preference where a checkpoint holds several.
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "net",
    "model",
    "network",
    "student",
    "weights",
    "params",
    "ema",
    "ema_state_dict",
    "model_ema",
    "best",
    "last",
)
_MEAN, _STD = ("mean", "mu", "mean_", "_mean", "new_mean"), ("std", "sigma", "std_", "_std", "new_std")
# The attacker of MadryLab's `robustness` holds the network a second time.
_COPIES = "attacker."
# Names that networks of this library, or plain sequences, share among all their weights.
_OWN = re.compile(r"layers\.|(?!1\.)\d+\.")


@dataclass(frozen=True)
class ForeignWeights:
    """Tensors of a foreign checkpoint under plain names, its normalisation, and what was taken off to get there."""

    tensors: dict[str, Tensor]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    removed: tuple[str, ...]


def read_foreign(path: str | Path) -> ForeignWeights:
    """Read a .pt, .pth, .ckpt or .safetensors file of any origin.

    Takes the state dict out of the usual wrappers, strips the usual prefixes and sets normalisation tensors apart.

    Raises:
        ModelError: The file is missing, damaged, holds pickled code objects, no tensors or non-finite weights.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a checkpoint file")
    if path.suffix == ".safetensors":
        loaded: Any = read_safetensors(path)[0]
    else:
        loaded = _load_tensors_only(path)
    found, wrappers = _unwrap(loaded, path)
    tensors, prefixes = _strip(found)
    means, stds = _take(tensors, _MEAN), _take(tensors, _STD)
    if (means is None) != (stds is None):
        raise ModelError(f"{path} holds only one of the normalisation tensors mean and std")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(f"{path}: {name} has infinite or undefined values", hint="the training diverged")
    mean, std = _unit_range(means, stds)
    return ForeignWeights(tensors, mean, std, (*wrappers, *prefixes))


def _load_tensors_only(path: Path) -> Any:
    try:
        _check_not_compressed(path)
        with safe_globals(_numpy_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except FileNotFoundError as error:
        raise ModelError(f"no such file: {path}", nearest_path(path)) from error
    except Exception as error:
        # torch says what it met in a long text that also explains how to switch the protection off.
        if isinstance(error, pickle.UnpicklingError) and "global" in str(error).lower():
            named = re.search(r"GLOBAL (\S+)|got <class '([^']+)'>", str(error))
            what = f" ({printable(named[1] or named[2])})" if named else ""
            raise ModelError(
                f"{path} contains pickled code objects{what}, which could run any program when loaded: refused",
                hint="load it with the code it comes from and save the weights alone: torch.save(model.state_dict(), "
                '"weights.pt")',
            ) from error
        raise ModelError(
            f"{path} is not a complete PyTorch checkpoint ({type(error).__name__})",
            hint="copy or download it again; an error page saved under that name is a common reason",
        ) from error


def _numpy_numbers() -> list[Any]:
    """Return what pickled NumPy numbers are made of, such as a best accuracy beside the weights; they run nothing."""
    scalar = np.float64(0).__reduce__()[0]
    places = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*places, np.dtype, *{type(np.dtype(kind)) for kind in "?bhilqBHILQefd"}]


def _check_not_compressed(path: Path) -> None:
    """PyTorch stores tensors as they are; a compressed record could claim a thousand times the size of the file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
                raise ModelError(
                    f"{path} has compressed records, which PyTorch does not write: refused",
                    "save it anew with torch.save",
                )


def _unwrap(loaded: Any, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    taken: list[str] = []
    while isinstance(loaded, Mapping) and len(taken) < 5:
        inner = [name for name in _WRAPPERS if isinstance(loaded.get(name), Mapping)]
        if not inner:
            break
        taken.append(inner[0])
        loaded = loaded[inner[0]]
    content = loaded if isinstance(loaded, Mapping) else {}
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not tensors:
        keys = ", ".join(str(key) for key in list(content)[:8]) or type(loaded).__name__
        raise ModelError(f"{path} holds no network weights, only: {keys}", hint="save a state_dict()")
    return tensors, taken


def _strip(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Drop every prefix that all weights share; normalisation and averaging counts may stand outside it."""
    tensors = {name: tensor for name, tensor in tensors.items() if name != "n_averaged"}
    stripped: list[str] = []
    while True:
        whole = {name: tensor for name, tensor in tensors.items() if not name.startswith(_COPIES)}
        tensors = whole or tensors
        prefix = _shared(tensors)
        if not prefix:
            return tensors, stripped
        stripped.append(prefix)
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def own_prefix(names: Iterable[str]) -> str:
    """Return what is stripped of a file with these names: a network with them has its weights below it.

    >>> own_prefix(["body.conv.weight", "body.conv.bias"])
    'body.conv.'
    """
    names, found = list(names), ""
    while prefix := _shared(names):
        names, found = [name.removeprefix(prefix) for name in names], found + prefix
    return found


def _shared(names: Iterable[str]) -> str:
    """Return the first part that all weights share, with its dot; "" where there is none to take off."""
    weights = [name for name in names if _last(name) not in _MEAN + _STD]
    first, dot, _ = weights[0].partition(".") if weights else ("", "", "")
    prefix = first + dot
    shared = dot and not _OWN.match(prefix) and all(name.startswith(prefix) for name in weights)
    return prefix if shared else ""


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _take(tensors: dict[str, Tensor], names: tuple[str, ...]) -> Tensor | None:
    """Remove and return the tensor whose last name is one of `names`, flattened."""
    found = [tensors.pop(name) for name in list(tensors) if _last(name) in names]
    return found[0].reshape(-1).double() if found else None


def _unit_range(mean: Tensor | None, std: Tensor | None) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    if mean is None or std is None:
        return None, None
    # A mean above 1 belongs to images in 0..255; (255 x - m) / s = (x - m / 255) / (s / 255).
    scale = 255.0 if (mean > 1).any() else 1.0
    return tuple((mean / scale).tolist()), tuple((std / scale).tolist())
