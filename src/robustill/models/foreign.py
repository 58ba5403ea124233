"""Load weights that other code wrote into a network of this library: names are mapped, everything is checked."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models.foreign_file import ForeignWeights, own_prefix, read_foreign
from robustill.models.match import head_name, require_match
from robustill.models.spec import Classifier, Normalize, checked_normalization

_HEADS = ("linear", "fc", "logits", "classifier", "head")

# The wide networks of Gowal et al. (2020) and of the works that build on them.
_WIDE_NAMES = (
    (r"^init_conv\.", "conv1."),
    (r"^logits\.", "fc."),
    (r"^batchnorm\.", "bn1."),
    (r"^layer\.0\.block\.", "block1.layer."),
    (r"^layer\.1\.block\.", "block2.layer."),
    (r"^layer\.2\.block\.", "block3.layer."),
    (r"\.batchnorm_0\.", ".bn1."),
    (r"\.batchnorm_1\.", ".bn2."),
    (r"\.conv_0\.", ".conv1."),
    (r"\.conv_1\.", ".conv2."),
    (r"\.shortcut\.", ".convShortcut."),
)


@dataclass(frozen=True)
class LoadNotes:
    """What was done to make a foreign checkpoint fit.

    Attributes:
        removed: Wrappers and prefixes taken off, outermost first.
        renamed: Pairs of a name in the file and the name it got.
        dropped: Tensors of the file that were not used.
        normalization: Mean and std adopted from the file, or None.
        fresh_head: The last layer kept its own weights because the class counts differ.

    >>> LoadNotes(removed=("module.",)).fresh_head
    False
    """

    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    fresh_head: bool = False


def load_foreign(model: nn.Module, path: str | Path, *, strict_head: bool = True) -> LoadNotes:
    """Load a foreign checkpoint into `model`, in place.

    Args:
        model: A network of `build_model`.
        path: A .pt, .pth, .ckpt or .safetensors file.
        strict_head: With False, a checkpoint of another class count leaves the last layer as it is.

    Returns:
        What was unwrapped, renamed, dropped and adopted.

    Raises:
        ModelError: The file cannot be read safely, or its weights do not fit: nothing is loaded then.

    >>> import tempfile
    >>> import torch
    >>> from robustill.models import build_model
    >>> model = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({f"module.{k}": v for k, v in model.state_dict().items()}, f"{folder}/net.pt")
    ...     print(load_foreign(model, f"{folder}/net.pt").removed)
    ('module.',)
    """
    return fill(model, read_foreign(path), str(path), strict_head=strict_head)


def fill(model: nn.Module, weights: ForeignWeights, where: str, *, strict_head: bool = True) -> LoadNotes:
    """Load weights read by `read_foreign`; see `load_foreign`."""
    names = _mapping(model, weights.tensors)
    _require_padding(model, weights.tensors, where)
    tensors = {names[name]: tensor for name, tensor in weights.tensors.items() if name in names}
    normalization = _normalization(model, weights, where)
    fresh_head = _handle_head(model, tensors, where, strict_head)
    own = {name: value for name, value in model.state_dict().items() if name not in tensors}
    kept = [name for name in own if _is_optional(name) or (fresh_head and _in_head(model, name))]
    require_match(model, {**tensors, **{name: own[name] for name in kept}}, where, hint=_hint(tensors))
    model.load_state_dict(tensors, strict=False)
    if normalization is not None and isinstance(model, Classifier):
        _adopt(model, *normalization)
    return LoadNotes(
        removed=weights.removed,
        renamed=tuple((old, new) for old, new in names.items() if old != new),
        dropped=tuple(name for name in weights.tensors if name not in names),
        normalization=normalization,
        fresh_head=fresh_head,
    )


def class_count(weights: ForeignWeights) -> int | None:
    """Return the number of classes a checkpoint was trained for, read off its last layer, or None."""
    named = [weights.tensors[f"{head}.weight"] for head in _HEADS if f"{head}.weight" in weights.tensors]
    matrices = named or [tensor for tensor in weights.tensors.values() if tensor.ndim == 2]
    return int(matrices[-1].shape[0]) if matrices else None


def _mapping(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Return for each tensor that is used the name it has in the model."""
    own = {name for name in model.state_dict() if not name.startswith("normalize.")}
    # A network of one's own may have all its weights below a name that is taken off files.
    prefix = own_prefix(own)
    names = {old: prefix + old if prefix + old in own else _renamed(old, model, tensors) for old in tensors}
    # The public WideResNet of TRADES holds a stage that its forward pass never uses.
    names = {old: new for old, new in names.items() if not new.startswith("sub_block1.")}
    _require_distinct(names)
    return names


def _renamed(name: str, model: nn.Module, tensors: Collection[str]) -> str:
    """Return what `name` of a file is called in a network of the library."""
    new = name.replace(".downsample.", ".shortcut.")
    if "init_conv.weight" in tensors:
        for pattern, replacement in _WIDE_NAMES:
            new = re.sub(pattern, replacement, new)
    layer, _, kind = new.rpartition(".")
    head = head_name(model)
    if layer in _HEADS and head is not None and "." not in head:
        new = f"{head}.{kind}"
    plain = all(each[:1].isdigit() for each in tensors)
    return f"layers.{new}" if plain and hasattr(model, "layers") else new


def _require_distinct(names: dict[str, str]) -> None:
    first: dict[str, str] = {}
    for old, new in names.items():
        if first.setdefault(new, old) != old:
            raise ModelError(f"the checkpoint has two tensors for {new}: {first[new]} and {old}", "keep one of them")


def _handle_head(model: nn.Module, tensors: dict[str, Tensor], where: str, strict_head: bool) -> bool:
    """Compare class counts; with another count, raise or remove the head's tensors and return True."""
    head = head_name(model)
    found = tensors.get(f"{head}.weight")
    expected = model.state_dict().get(f"{head}.weight")
    if found is None or expected is None or found.ndim != 2 or len(found) == len(expected):
        return False
    if strict_head:
        raise ModelError(
            f"{where}: the checkpoint has {len(found)} classes, the data set {len(expected)}",
            hint="use a model trained on this data set",
        )
    for name in [name for name in tensors if _in_head(model, name)]:
        del tensors[name]
    return True


def _in_head(model: nn.Module, name: str) -> bool:
    return name.rpartition(".")[0] == head_name(model)


def _is_optional(name: str) -> bool:
    # Checkpoints of before 2018 do not count batches; the normalisation is handled apart.
    return name.endswith(".num_batches_tracked") or name.startswith("normalize.")


def _require_padding(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    spec = getattr(model, "spec", None)
    padding = None if spec is None else spec.arguments.get("padding")
    if "init_conv.weight" in tensors and padding == "symmetric":
        raise ModelError(
            f"{where} holds a WideResNet with one-sided padding",
            hint='pass padding="bottom-right" (and activation="silu" if it was trained with SiLU)',
        )


def _normalization(
    model: nn.Module, weights: ForeignWeights, where: str
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if weights.mean is None or weights.std is None:
        return None
    if not isinstance(model, Classifier):
        raise ModelError(
            f"{where} brings a normalisation, {type(model).__name__} has no place for it",
            "build the model with mean= and std=, or remove the tensors from the file",
        )
    channels = model.spec.shape[0]
    spread = channels if len(weights.mean) == 1 else 1
    mean, std = checked_normalization(weights.mean * spread, weights.std * spread, channels)
    if mean is None or std is None:
        return None
    own = (*(model.spec.mean or ()), *(model.spec.std or ()))
    if any(abs(ours - theirs) > 1e-4 for ours, theirs in zip(own, (*mean, *std), strict=False)):
        raise ModelError(
            f"{where} normalises with mean {mean}, std {std}; the model with {model.spec.mean}, {model.spec.std}",
            hint="leave mean and std out: those of the checkpoint are used",
        )
    return mean, std


def _adopt(model: Classifier, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    like = next(model.parameters())
    model.normalize = Normalize(mean, std).to(like.device, like.dtype)
    model.spec = replace(model.spec, mean=mean, std=std)


def _hint(tensors: dict[str, Tensor]) -> str:
    stem = tensors.get("conv1.weight")
    if stem is not None and stem.shape[-1] == 7:
        return "its 7x7 stem is the ImageNet form of the network; this one is the CIFAR form"
    if "bn.weight" in tensors:
        return "if this is a PreActResNet with a last batch norm, pass final_norm=True"
    return "check the architecture, its depth and its width"
