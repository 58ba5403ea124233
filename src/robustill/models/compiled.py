"""A forward pass compiled for the one shape of input whose gradient an attack asks for again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robustill.errors import ModelError

_HELP = "train without training.compile, or install what torch.compile needs: a C++ compiler, on a GPU Triton"


class Compiled:
    """Call `forward`, compiled where the input has shape `shape` and its gradient will be asked for.

    Compiled at its first such call, which takes seconds, and compared there with `forward`, gradient included. Other
    shapes and calls without gradients are few, and are not worth compiling for.

    Args:
        forward: Maps `[B, ...] -> [B, classes]`.
        shape: Of the inputs to compile for, `(B, ...)`.
        tolerance: How far the logits may be from those of `forward`, as a share of the largest.

    >>> layer = torch.nn.Linear(2, 3)
    >>> torch.equal(Compiled(layer, (4, 2), 1e-3)(torch.ones(4, 2)), layer(torch.ones(4, 2)))
    True
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], shape: Sequence[int], tolerance: float) -> None:
        self.forward, self.shape, self.tolerance = forward, torch.Size(shape), tolerance
        self._compiled: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return what `forward` does, equal up to rounding.

        Raises:
            ModelError: `forward` cannot be compiled, or computes something else when it is.
        """
        if x.shape != self.shape or not (x.requires_grad and torch.is_grad_enabled()):
            return self.forward(x)
        if self._compiled is None:
            self._compiled = self._compile(x)
        return self._compiled(x)

    def _compile(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        # CUDA graphs on a GPU; their outputs are overwritten by the next replay, hence the copy.
        found = torch.compile(self.forward, dynamic=False, mode="reduce-overhead" if x.is_cuda else None)
        compiled = (lambda x: found(x).clone()) if x.is_cuda else found
        expected = _with_gradient(self.forward, x)
        try:
            got = _with_gradient(compiled, x)
        except Exception as error:  # whatever compilers raise
            reason = (str(error).splitlines() or [""])[0]
            raise ModelError(f"the network cannot be compiled: {type(error).__name__}: {reason}", _HELP) from error
        # Rounding adds up over the layers on the way back.
        for own, other, allowed in zip(got, expected, (self.tolerance, 5 * self.tolerance), strict=True):
            if not (own - other).norm() <= allowed * other.norm():
                raise ModelError("the compiled network computes something else than the network", _HELP)
        return compiled


def _with_gradient(forward: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    logits = forward(x)
    # Of the largest logit alone: the sum of all of them may not depend on the input.
    (gradient,) = torch.autograd.grad(logits.amax(1).sum(), x)
    return logits.detach().float(), gradient.float()
