"""AWP: adversarial weight perturbation, around any method with an adversary.

Paper: Wu, Xia, Wang, "Adversarial Weight Perturbation Helps Robust Generalization", NeurIPS 2020, arXiv 2004.05884.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.methods.base import Loss, Method
from robustill.methods.whole import whole_gradient
from robustill.methods.wrapper import Wrapper

_TINY = 1e-20


class AWP(Wrapper):
    """Takes the loss, and so the optimizer's step, at the worst nearby weights `w + gamma d`; then removes `gamma d`.

    `d` is the ascent direction of the wrapped loss at the same adversarial points, scaled per weight tensor to the norm
    of the weight; biases and batch-norm parameters do not move. Momentum and weight decay act on the perturbed weights,
    as released. The ascent pass leaves no trace in buffers: batch-norm statistics and the method's adaptive state are
    updated once per step, at the perturbed weights.

    Args:
        base: The method to wrap.
        gamma: Relative size of the perturbation (0.01 for adversarial training, 0.005 for TRADES).
        warmup: Epochs without perturbation.

    Raises:
        InputError: `base` has no adversary.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.methods import PGDAT
    >>> method = AWP(PGDAT(nn.Sequential(nn.Flatten(), nn.Linear(4, 3))), gamma=0.01)
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv']
    """

    whole_batch = "AWP shifts the weights by the gradient of the whole batch"
    among_processes = True

    def __init__(self, base: Method, *, gamma: float, warmup: int = 0) -> None:
        super().__init__(base)
        self.gamma, self.warmup = gamma, warmup
        self.active = warmup == 0
        self._shifts: list[tuple[nn.Parameter, Tensor]] = []

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.active = epoch >= self.warmup
        super().begin_epoch(epoch, lr_scale, epochs)

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        x_adv = self.base.perturb(x, y)
        if self.active and self.gamma > 0 and self.training:
            self._shift(x, x_adv, y)
        return self.base.outer(x, x_adv, y)

    def after_step(self) -> None:
        """Take the perturbation off again."""
        with torch.no_grad():
            for weight, shift in self._shifts:
                weight.sub_(shift)
        self._shifts = []
        self.base.after_step()

    def _shift(self, x: Tensor, x_adv: Tensor, y: Tensor) -> None:
        weights = [w for n, w in self.student.named_parameters() if w.ndim > 1 and "weight" in n and w.requires_grad]
        kept = [(buffer, buffer.clone()) for buffer in self.base.buffers()]
        grads = whole_gradient(self.base.outer(x, x_adv, y).total, weights)
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
            for weight, grad in zip(weights, grads, strict=True):
                if grad is not None:
                    shift = self.gamma * weight.norm() / (grad.norm() + _TINY) * grad
                    weight.add_(shift)
                    self._shifts.append((weight, shift))
        # Autocast keeps bfloat16 copies of the weights for the length of its block; they are out of date now.
        torch.clear_autocast_cache()
