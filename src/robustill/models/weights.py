"""Weights files: safetensors with the architecture, class names and normalisation as metadata.

Such a file needs nothing else to be loaded, and reading one runs no code from it. A checksum in it covers all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models.build import build_empty
from robustill.models.frozen import Frozen
from robustill.models.match import require_match
from robustill.models.metadata import decode, encode
from robustill.models.seal import read_sealed, save_sealed
from robustill.models.spec import Classifier
from robustill.writing import make_folder


def save_model(
    model: nn.Module,
    path: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Write a model to a safetensors file that `load_model` reads without further arguments.

    The file appears complete or not at all, and equal weights and metadata give equal bytes.

    Args:
        model: A network of `build_model` or `load_model`; a `Frozen`, compiled or data-parallel one is unwrapped.
        path: The file to write; its folder is created.
        class_names: One name per class; by default those the model was loaded with.
        extra: Further metadata to keep with the file, such as its origin.

    Returns:
        SHA-256 of the file, 64 hexadecimal digits.

    Raises:
        ModelError: The model has no `spec` of a known architecture, or class names or extra keys do not fit.
        WriteError: The disk is full, or the folder cannot be written.

    >>> import tempfile
    >>> from robustill.models import build_model, load_model
    >>> model = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     digest = save_model(model, f"{folder}/net.safetensors", class_names=("a", "b", "c"))
    ...     print(load_model(f"{folder}/net.safetensors").class_names)
    ('a', 'b', 'c')
    """
    network = _unwrapped(model)
    if not isinstance(network, Classifier) or not can_be_saved(network):
        raise ModelError(
            f"{type(network).__name__} was not made by build_model, so its file could not be loaded again",
            hint="make it a Classifier with a name in robustill.models.MODELS, or save its state_dict with "
            "safetensors.torch.save_file instead",
        )
    metadata = encode(network.spec, class_names if class_names is not None else network.class_names, extra)
    tensors = {name: _plain(tensor) for name, tensor in network.state_dict().items()}
    make_folder(Path(path).parent)
    return save_sealed(tensors, Path(path), metadata)


def can_be_saved(model: nn.Module) -> bool:
    """Return whether `save_model` knows how the network was made, so that its file can be loaded again."""
    network = _unwrapped(model)
    return isinstance(network, Classifier) and hasattr(network, "spec")


def read_weights(path: Path) -> Classifier:
    """Read a file written by `save_model`, on the CPU.

    Raises:
        ModelError: The file is damaged, is not a weights file, lacks its metadata or contradicts them.
    """
    tensors, metadata = read_safetensors(path)
    spec, class_names, extra = decode(metadata, str(path))
    try:
        model = build_empty(spec)
    except ModelError as error:
        raise ModelError(f"{path} has invalid metadata: {error}", "write the file anew with save_model") from error
    require_match(model, tensors, str(path), hint="the file is damaged or was changed: save it again")
    model.load_state_dict(tensors, assign=True)
    model.class_names, model.extra = class_names, extra
    return model


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of any safetensors file.

    Raises:
        ModelError: The file is truncated, damaged or not in this format.
    """
    return read_sealed(path)


def _plain(tensor: Tensor) -> Tensor:
    # A copy even when contiguous: the format refuses tensors that share memory (tied weights).
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _unwrapped(model: nn.Module) -> nn.Module:
    while True:
        if isinstance(model, Frozen):
            model = model.network
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model
