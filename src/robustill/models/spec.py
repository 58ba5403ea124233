"""What a classifier is built from: `ModelSpec`, the base class `Classifier` and its input normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from robustill.errors import ModelError

Shape = tuple[int, int, int]

_MAX_CLASSES = 100_000
_MAX_SIDE = 4096


@dataclass(frozen=True)
class ModelSpec:
    """Everything `build_model` needs to build the same network again; written into every saved file.

    Attributes:
        name: Architecture, a key of `MODELS` (or the source, such as `timm:resnet50`).
        num_classes: Number of logits.
        shape: Images the network was built for, (C, H, W).
        mean: Per-channel mean subtracted inside the network, or None for no normalisation.
        std: Per-channel deviation divided by inside the network, or None.
        arguments: Keyword arguments of the architecture, defaults included.

    >>> ModelSpec("cnn_small", num_classes=3, shape=(1, 8, 8)).num_classes
    3
    """

    name: str
    num_classes: int
    shape: Shape = (3, 32, 32)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


class Normalize(nn.Module):
    """Map images [B, C, H, W] to `(x - mean) / std` per channel; both are buffers [1, C, 1, 1].

    >>> import torch
    >>> Normalize([0.5], [0.25])(torch.ones(1, 1, 1, 1))
    tensor([[[[2.]]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised images [B, C, H, W]."""
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """Base of the architectures: maps images in [0, 1], [B, C, H, W], to logits [B, classes].

    `normalize` is the first submodule (identity without normalisation). `class_names` and `extra` are what a
    loaded file says about its classes and origin; they are not part of the state dict.

    >>> from robustill.models import build_model
    >>> model = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    >>> isinstance(model, Classifier), model.spec.name
    (True, 'cnn_small')
    """

    spec: ModelSpec
    class_names: tuple[str, ...] | None = None
    extra: Mapping[str, str] = MappingProxyType({})

    def __init__(self) -> None:
        super().__init__()
        self.normalize: nn.Module = nn.Identity()


def checked_classes(num_classes: object) -> int:
    """Return `num_classes` if it is an integer from 2 to 100,000; raise ModelError otherwise."""
    whole = isinstance(num_classes, int) and not isinstance(num_classes, bool)
    if not whole or not 2 <= num_classes <= _MAX_CLASSES:  # type: ignore[operator]
        raise ModelError(f"the number of classes must be an integer from 2 to {_MAX_CLASSES}, not {num_classes!r}")
    return int(num_classes)  # type: ignore[call-overload, no-any-return]


def checked_shape(shape: object) -> Shape:
    """Return an image shape as a (C, H, W) tuple of positive integers; raise ModelError otherwise."""
    sides = tuple(shape) if isinstance(shape, (tuple, list, torch.Size)) else ()
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if len(sides) != 3 or not whole or not all(1 <= side <= _MAX_SIDE for side in sides):
        raise ModelError(f"an image shape is (channels, height, width) with positive integers, not {shape!r}")
    return sides


def checked_normalization(
    mean: object, std: object, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]] | tuple[None, None]:
    """Return mean and std as tuples of `channels` finite floats, std > 0, or (None, None); raise ModelError."""
    if mean is None and std is None:
        return None, None
    if mean is None or std is None:
        raise ModelError("normalisation needs both mean and std", hint="give both or neither")
    return _per_channel("mean", mean, channels), _per_channel("std", std, channels, positive=True)


def _per_channel(name: str, values: object, channels: int, *, positive: bool = False) -> tuple[float, ...]:
    try:
        floats = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} must be a sequence of {channels} numbers, not {values!r}") from error
    if len(floats) != channels:
        raise ModelError(
            f"{name} has {len(floats)} values, the images have {channels} channels", "give one value per channel"
        )
    if not all(math.isfinite(value) and (value > 0 or not positive) for value in floats):
        raise ModelError(f"{name} must be finite{' and positive' if positive else ''}, not {floats}")
    return floats
