"""`attack_view`: a copy of a network that computes the same logits faster, for the time in which its weights stay."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from robustill.attacks.modes import eval_mode
from robustill.errors import InputError, ModelError
from robustill.models.compiled import Compiled
from robustill.models.fold import fold, head_of
from robustill.models.frozen import Frozen
from robustill.models.match import head_name
from robustill.models.merge import Merge, merge_
from robustill.models.precision import cast_layers, wide
from robustill.models.trace import obstacle, same_draws

# How far the logits on the sample may be from the network's, as a share of the largest.
_TOLERANCES = {torch.float64: 1e-3, torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.05}


class AttackView(nn.Module):
    """What an attack searches on in place of a network: its logits, but no gradients for its parameters.

    Made by `attack_view`. The network itself is no submodule: moving, saving or training the view does not touch it.

    Attributes:
        folded: How many batch norms were merged into the layers before them.
        dtype: Type of the convolutions and linear layers, or None where the view is the network itself.
        why: Why the view is less than was asked for (no folding, or not in this type), or None.

    >>> import torch
    >>> from robustill.models import attack_view, build_model
    >>> model = build_model("resnet18", num_classes=3, shape=(3, 8, 8), width=4).eval()
    >>> x = torch.rand(2, 3, 8, 8)
    >>> view = attack_view(model, sample=x)
    >>> torch.allclose(view(x), model(x), atol=1e-4)
    True
    """

    def __init__(
        self,
        original: nn.Module,
        network: nn.Module | None,
        dtype: torch.dtype | None,
        *,
        head: str | None = None,
        merges: Sequence[Merge] = (),
        channels_last: bool = False,
        compile_for: Sequence[int] | None = None,
        why: str | None = None,
    ) -> None:
        super().__init__()
        self._held = (original,)
        self.network, self.dtype, self.why = network, dtype, why
        self.folded = sum(merge.norm is not None for merge in merges)
        self._merges = tuple(merges)
        if network is not None and dtype is not None:
            cast_layers(network.requires_grad_(False), dtype, head)
            # A convolution follows the layout of its weight, whatever that of its input.
            network.to(memory_format=torch.channels_last if channels_last else torch.preserve_format)  # type: ignore[call-overload]
            self.refresh()
        # None where nothing is compiled: a view that held its own method would outlive its last user.
        self._compiled = None
        if compile_for is not None and dtype is not None:
            self._compiled = Compiled(self._own, compile_for, _TOLERANCES[dtype])
        _evaluating(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs `[B, ...]` to logits `[B, classes]`, float32 also where the layers are of a shorter type."""
        if self.network is None or self.dtype is None:
            with eval_mode(self._held[0]):
                logits: Tensor = self._held[0](x)
            return logits
        return self._own(x) if self._compiled is None else self._compiled(x)

    def _own(self, x: Tensor) -> Tensor:
        assert self.network is not None
        assert self.dtype is not None
        exact = wide(self.dtype)
        # Autocast leaves what comes before the first layer, the normalisation, in float32.
        with torch.autocast(x.device.type, dtype=self.dtype, enabled=self.dtype != exact):
            logits: Tensor = self.network(x.to(exact))
        return logits.to(exact)

    @torch.no_grad()
    def refresh(self) -> None:
        """Read the weights and statistics of the network again, into the tensors that are there."""
        if self.network is None:
            return
        merged = {f"{merge.merged}.{kind}" for merge in self._merges for kind in ("weight", "bias")}
        for name, tensor in itertools.chain(self.network.named_parameters(), self.network.named_buffers()):
            if name not in merged:
                tensor.copy_(operator.attrgetter(name)(self._held[0]))
        for merge in self._merges:
            norm = None if merge.norm is None else self._held[0].get_submodule(merge.norm)
            merge_(self.network.get_submodule(merge.merged), self._held[0].get_submodule(merge.layer), norm)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let calls of the network be computed by the view, for the block; hooks on the network still run."""
        network = self._held[0]
        if self.network is None or "forward" in vars(network):
            yield
            return
        network.forward = self.forward
        try:
            yield
        finally:
            del network.forward

    def train(self, mode: bool = True) -> AttackView:
        """Stay in eval mode, whatever `mode` says."""
        return self


_Way = Callable[[nn.Module, torch.dtype, str | None], AttackView]


def attack_view(
    model: nn.Module,
    *,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = True,
    sample: Tensor | None = None,
    compile_for: Sequence[int] | None = None,
) -> AttackView:
    """Return a frozen copy of `model` in eval mode that gives the same logits faster; `model` stays as it is.

    Batch norms are folded into the layers before them, convolutions and linear layers run in `dtype` (the input
    normalisation and the last linear layer do not), images in the channels-last order. Where the network cannot be
    taken apart, the view is a plain copy of it, or the network itself if no copy computes the same; `why` says so.

    Args:
        model: The network.
        dtype: Type of the layers: float32, bfloat16, float16 or float64.
        channels_last: Convolve with the channels innermost.
        sample: Inputs `[B, ...]` on which the logits are compared with the network's; without them nothing is
            compared, and batch norms after linear layers are not folded.
        compile_for: Shape `(B, ...)` of the inputs whose gradients will be asked for: for these the view is compiled
            by `torch.compile` at the first of them (`ModelError` if it cannot be). It pays for residual networks.

    Raises:
        InputError: `dtype` is not one of these four.

    >>> from robustill.models import build_model
    >>> model = build_model("resnet18", num_classes=10, width=2)
    >>> view = attack_view(model, sample=torch.rand(4, 3, 32, 32))
    >>> view.folded, view.why
    (20, None)
    """
    if dtype not in _TOLERANCES:
        raise InputError(f"a view cannot be computed in {dtype}", "use " + ", ".join(str(each) for each in _TOLERANCES))
    model = model.network if isinstance(model, Frozen) else model
    why = obstacle(model)
    with same_draws(model):
        state = torch.get_rng_state()
        expected = None if sample is None else _logits(model, sample)
        if why is None and not torch.equal(state, torch.get_rng_state()):
            why = "it draws random numbers"
        if why is not None:
            return AttackView(model, None, None, why=why)
        ways: tuple[_Way, ...] = (
            partial(_folded, sample=sample, channels_last=channels_last, compile_for=compile_for),
            _copied,
        )
        for way, precision in itertools.product(ways, dict.fromkeys((dtype, wide(dtype)))):
            try:
                view: AttackView = way(model, precision, why)
                found = None if sample is None else _logits(view, sample)
            except Exception as error:  # a foreign network may raise anything
                why = why or _sentence(error)
                continue
            if expected is None or found is None or _agree(found, expected, precision):
                return view
            why = why or f"its logits in {str(precision).removeprefix('torch.')} are too far from its own"
    return AttackView(model, None, None, why=why)


def _folded(
    model: nn.Module,
    dtype: torch.dtype,
    why: str | None,
    *,
    sample: Tensor | None,
    channels_last: bool,
    compile_for: Sequence[int] | None,
) -> AttackView:
    few = None if sample is None else sample[:2]
    # Layers that are faster by hand are opaque to the compiler.
    faster = compile_for is None
    network, merges = fold(_evaluating(copy.deepcopy(model)), few, channels_last=channels_last, faster=faster)
    head = head_of(network)
    return AttackView(
        model,
        network,
        dtype,
        head=head,
        merges=merges,
        channels_last=channels_last,
        compile_for=compile_for,
        why=why,
    )


def _copied(model: nn.Module, dtype: torch.dtype, why: str | None) -> AttackView:
    # In the usual order of the channels: code that views features as rows works in no other.
    return AttackView(model, _evaluating(copy.deepcopy(model)), dtype, head=head_name(model), why=why)


def _evaluating(network: nn.Module) -> nn.Module:
    # As `eval_mode` does; `eval()` would leave it to methods that may be overridden.
    for module in network.modules():
        module.training = False
    return network


def _logits(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False), eval_mode(network):
        logits: Tensor = network(x)
    return logits


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, ModelError) else f"{type(error).__name__}: {error}".partition("\n")[0]


def _agree(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    scale = expected.abs().amax()
    return bool((found - expected).abs().amax() <= _TOLERANCES[dtype] * scale)
