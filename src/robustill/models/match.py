"""Does a set of tensors fit a network? One readable error when it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from robustill.errors import ModelError

_SHOWN = 3


def require_match(model: nn.Module, tensors: Mapping[str, Tensor], where: str, hint: str | None = None) -> None:
    """Raise ModelError unless `tensors` has exactly the names, shapes and kinds of the model's state dict.

    Args:
        model: The network to be filled.
        tensors: What was found.
        where: The file, for the message.
        hint: What to do about a mismatch.
    """
    expected = model.state_dict()
    missing = [f"{name} {list(expected[name].shape)}" for name in expected if name not in tensors]
    unexpected = [f"{name} {list(tensors[name].shape)}" for name in tensors if name not in expected]
    common = [name for name in expected if name in tensors]
    shapes = [
        f"{name} is {list(tensors[name].shape)}, the model has {list(expected[name].shape)}"
        for name in common
        if tensors[name].shape != expected[name].shape
    ]
    kinds = [
        f"{name} is {tensors[name].dtype}"
        for name in common
        if tensors[name].is_floating_point() != expected[name].is_floating_point()
    ]
    found = {"missing": missing, "unexpected": unexpected, "other shape": shapes, "other type": kinds}
    lines = [f"{label}: {_first(names)}" for label, names in found.items() if names]
    if lines:
        raise ModelError("\n  ".join([f"{where} does not fit {_name(model)}", *lines]), hint=hint)


def head_name(model: nn.Module) -> str | None:
    """Return the name of the last linear layer, which makes the logits, or None."""
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return names[-1] if names else None


def _name(model: nn.Module) -> str:
    spec = getattr(model, "spec", None)
    return str(spec.name) if spec is not None else type(model).__name__


def _first(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "; ".join(names[:_SHOWN]) + more
