"""`Frozen`: a network that is asked but never trained, such as a teacher."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robustill.inputs import check_network_kind

# As many inputs as a method shows its teacher per batch: x, x', and points ahead of and behind them.
_REMEMBERED = 4


class Frozen(nn.Module):
    """Hold a network that is never trained, invisible to the training of the module that owns it.

    After `method.teacher = Frozen(network)`, `method.parameters()`, `method.state_dict()` and `method.train()` do not
    see the network: it stays in eval mode without parameter gradients, outside checkpoints and optimisers. It is
    still moved and cast with its owner (`.to()`, `.double()`), and gradients still reach its input.

    A constant input is asked once: while a tensor object among the last few is passed again unchanged, its output is
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
        check_network_kind("a frozen network", network)
        network = network.network if isinstance(network, Frozen) else network
        # A module assigned as an attribute would be registered; inside a tuple it is not.
        self._held = (network.eval().requires_grad_(False),)
        self._view: tuple[nn.Module, ...] = ()
        self._recent: list[tuple[Any, ...]] = []
        self.training = False

    @property
    def network(self) -> nn.Module:
        """The network itself."""
        return self._held[0]

    def use(self, view: nn.Module | None) -> None:
        """Ask `view`, a faster form of the network, from now on; None: the network itself again."""
        self._view, self._recent = () if view is None else (view,), []

    def forward(self, x: Tensor) -> Any:
        """Return what the network returns, usually logits [B, classes]."""
        asked = self._view[0] if self._view else self.network
        if x.requires_grad or x.is_inference():
            return asked(x)
        for known, state, output in self._recent:
            if known() is x and state == self._state(x, output):
                return output
        output = asked(x)
        # Outputs of tensors that are gone, or have changed, are of no more use.
        kept = [entry for entry in self._recent if entry[0]() is not None and entry[0]() is not x]
        self._recent = [*kept[1 - _REMEMBERED :], (weakref.ref(x), self._state(x, output), output)]
        return output

    def _state(self, x: Tensor, output: Any) -> tuple[Any, ...]:
        """Everything that, once changed, makes a remembered output wrong."""
        tensors = [x, *self.network.state_dict(keep_vars=True).values()]
        tensors += [output] if isinstance(output, Tensor) else []
        kind = x.device.type
        mode = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), torch.is_grad_enabled())
        return (*mode, *((t.data_ptr(), t.dtype, t._version) for t in tensors))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_recent": []}

    def train(self, mode: bool = True) -> Frozen:
        """Stay in eval mode, whatever `mode` says."""
        super().train(False)
        self.network.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.network._apply(fn)  # type: ignore[no-untyped-call]
        # A view is made for one device and type.
        self.use(None)
        return self

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.network.parameters())
        return f"Frozen({type(self.network).__name__}, {count:,} parameters)"
