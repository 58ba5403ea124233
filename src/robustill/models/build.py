"""The architectures by name, and `build_model`, which makes one with fresh weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from robustill.errors import ModelError, nearest, nearest_or_own
from robustill.models.cnn import cnn_small, cnn_wide
from robustill.models.mobilenet import mobilenet_v2
from robustill.models.resnet import preact_resnet18, resnet18, resnet34
from robustill.models.spec import (
    Classifier,
    ModelSpec,
    Normalize,
    checked_classes,
    checked_normalization,
    checked_shape,
)
from robustill.models.wide_resnet import wide_resnet, wide_resnet_of

MODELS: dict[str, Callable[..., Classifier]] = {
    "cnn_small": cnn_small,
    "cnn_wide": cnn_wide,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "preact_resnet18": preact_resnet18,
    "wrn_22_6": wide_resnet_of(22, 6),
    "wrn_28_10": wide_resnet_of(28, 10),
    "wrn_34_10": wide_resnet_of(34, 10),
    "wrn_34_20": wide_resnet_of(34, 20),
    "wrn_70_16": wide_resnet_of(70, 16, activation="silu", padding="bottom-right"),
    "mobilenet_v2": mobilenet_v2,
    "wide_resnet": wide_resnet,
}
BUILT_IN = frozenset(MODELS)
"""The names that come with robustill; every other one is a person's own."""


def build_model(
    name: str,
    *,
    num_classes: int,
    shape: tuple[int, int, int] = (3, 32, 32),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **arguments: Any,
) -> Classifier:
    """Build an architecture with fresh weights: a module from images in [0, 1] to logits [B, classes].

    Args:
        name: A key of `MODELS`.
        num_classes: Number of logits.
        shape: Images (C, H, W).
        mean: Per-channel mean, subtracted inside the network; None for no normalisation.
        std: Per-channel deviation, divided by inside the network; None for no normalisation.
        **arguments: Keyword arguments of the architecture, such as `depth=` and `width=` of "wide_resnet".

    Returns:
        The network, with its `spec`.

    Raises:
        ModelError: Unknown architecture or argument, or a value outside what it accepts.

    >>> model = build_model("cnn_small", num_classes=10, shape=(1, 28, 28), mean=[0.5], std=[0.5])
    >>> model(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> model.spec.name
    'cnn_small'
    """
    if name not in MODELS:
        raise ModelError(f"unknown architecture {name!r}", hint=nearest_or_own(name, MODELS))
    num_classes, shape = checked_classes(num_classes), checked_shape(shape)
    means, stds = checked_normalization(mean, std, shape[0])
    arguments = _complete(name, arguments)
    model = MODELS[name](num_classes, shape, **arguments)
    if not isinstance(model, Classifier):
        raise ModelError(
            f"MODELS[{name!r}] made a {type(model).__name__}, which is no Classifier",
            "make it a subclass of robustill.models.Classifier whose forward begins with self.normalize(x)",
        )
    if means is not None and stds is not None:
        model.normalize = Normalize(means, stds)
    model.spec = ModelSpec(name, num_classes, shape, means, stds, arguments)
    return model


def build_empty(spec: ModelSpec) -> Classifier:
    """Build the network of `spec` on the meta device: no memory, no random numbers drawn, weights to be assigned."""
    # Checked here: a key such as "shape" from a file would otherwise collide with a parameter of build_model.
    arguments = _complete(spec.name, dict(spec.arguments))
    with torch.device("meta"):
        return build_model(
            spec.name,
            num_classes=spec.num_classes,
            shape=spec.shape,
            mean=spec.mean,
            std=spec.std,
            **arguments,
        )


def _complete(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with the architecture's defaults, so that a file stays valid when a default changes."""
    parameters = inspect.signature(MODELS[name]).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    for given in arguments:
        if given not in defaults:
            hint = nearest(given, defaults) if defaults else f"{name} has no arguments"
            raise ModelError(f"{name} has no argument {given!r}", hint=hint)
    return {**defaults, **arguments}
