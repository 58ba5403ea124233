"""What passes through a network while it is used by others: inputs, outputs and penultimate features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models.match import head_name


@contextmanager
def observed(module: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Collect `(input, output)`, `[B, ...]` each, of every call of `module` inside the block, in order, with graphs.

    >>> import torch
    >>> network = nn.Linear(3, 2)
    >>> with observed(network) as seen:
    ...     z = network(torch.zeros(4, 3))
    >>> seen[0][1] is z
    True
    """
    seen: list[tuple[Tensor, Tensor]] = []
    handle = module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    try:
        yield seen
    finally:
        handle.remove()


def head(network: nn.Module) -> nn.Linear:
    """Return the last linear layer of a classifier; its input is the penultimate features `[B, in_features]`.

    Raises:
        ModelError: There is no linear layer.

    >>> from torch import nn
    >>> head(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)))
    Linear(in_features=5, out_features=3, bias=True)
    """
    name = head_name(network)
    if name is None:
        raise ModelError(
            f"{type(network).__name__} has no linear layer, so it has no penultimate features",
            "use a classifier whose logits come from an nn.Linear",
        )
    return network.get_submodule(name)  # type: ignore[return-value]


def count_classes(network: nn.Module) -> int:
    """Return the number of logits of a classifier: what its `spec` says, else the width of its last linear layer.

    Raises:
        ModelError: It has neither.

    >>> from torch import nn
    >>> count_classes(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    3
    """
    spec = getattr(network, "spec", None)
    return int(spec.num_classes) if spec is not None else head(network).out_features
