"""`Frozen`: a network that is asked but never trained, such as a teacher."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Frozen(nn.Module):
    """Hold a network that is never trained, invisible to the training of the module that owns it.

    After `method.teacher = Frozen(network)`, `method.parameters()`, `method.state_dict()` and `method.train()` do not
    see the network: it stays in eval mode without parameter gradients, outside checkpoints and optimisers. It is
    still moved and cast with its owner (`.to()`, `.double()`), and gradients still reach its input.

    A constant input is asked once: while the same tensor object is passed again unchanged, the last output is
    returned, so that a method may write `self.teacher(x)` wherever its equations do.

    The network is frozen in place: it is put in eval mode and its parameters stop requiring gradients. Freezing a
    `Frozen` gives the same network, held once.

    >>> import torch
    >>> teacher = Frozen(nn.Linear(3, 2))
    >>> list(teacher.parameters()), teacher.network.weight.requires_grad
    ([], False)
    >>> teacher
    Frozen(Linear, 8 parameters)
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        network = network.network if isinstance(network, Frozen) else network
        # A module assigned as an attribute would be registered; inside a tuple it is not.
        self._held = (network.eval().requires_grad_(False),)
        self._last: tuple[Any, ...] | None = None
        self.training = False

    @property
    def network(self) -> nn.Module:
        """The network itself."""
        return self._held[0]

    def forward(self, x: Tensor) -> Any:
        """Return what the network returns, usually logits [B, classes]."""
        if x.requires_grad or x.is_inference():
            return self.network(x)
        if self._last is None or self._last[0]() is not x or self._last[1] != self._state(x, self._last[2]):
            logits = self.network(x)
            self._last = (weakref.ref(x), self._state(x, logits), logits)
        return self._last[2]

    def _state(self, x: Tensor, output: Any) -> tuple[Any, ...]:
        """Everything that, once changed, makes a remembered output wrong."""
        tensors = [x, *self.network.state_dict(keep_vars=True).values()]
        tensors += [output] if isinstance(output, Tensor) else []
        kind = x.device.type
        mode = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), torch.is_grad_enabled())
        return (*mode, *((t.data_ptr(), t.dtype, t._version) for t in tensors))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def train(self, mode: bool = True) -> Frozen:
        """Stay in eval mode, whatever `mode` says."""
        super().train(False)
        self.network.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.network._apply(fn)  # type: ignore[no-untyped-call]
        return self

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.network.parameters())
        return f"Frozen({type(self.network).__name__}, {count:,} parameters)"
