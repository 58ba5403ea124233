"""CROWN-IBP: certified training by linear bounds that give way to intervals.

Paper: Zhang, Chen, Xiao, Gowal, Stanforth, Li, Boning, Hsieh, "Towards Stable and Efficient Training of Verifiably
    Robust Neural Networks", ICLR 2020, arXiv 1906.06316.
Inner: none
Outer: k CE(S(x), y) + (1 - k) CE((1 - b) w_ibp + b w_crown, y), w_j >= S(x')_j - S(x')_y for every x' near x
Variants: intervals give w_ibp, linear bounds from the logits to the image with intervals for the inner layers w_crown.
    The radius rises from 0 to eps, k falls from 1 to kappa and b from 1 to beta during `ramp`, after `warmup`, both
    shares of the run.
State: the steps of this epoch and of an epoch (the rise goes step by step, from the second epoch on)
Differs: where the last layer on the box before it has a smaller bound than the linear one, w_crown is that. The rise
    begins after the first epoch. The bounds are of the network in eval mode: batch norm enters with its running
    statistics.
Settings: beta 0, kappa 0 (released) or 1/2; MNIST: Adam 5e-4, batch 256, 100 epochs, the radius rises during 60.
    A step costs several of IBP until beta has reached 0. The last epoch is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.losses import cross_entropy
from robustill.methods.base import Loss
from robustill.methods.ramp import Ramp, Ramped
from robustill.methods.worst_case import certified, worst_logits


class CrownIBP(Ramped):
    """Like IBP, but from tight bounds to loose ones, so that the network is not crushed in the beginning.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`, of operations whose bounds are known.
        eps: Radius of the Linf ball, in units of [0, 1].
        kappa: Weight of the clean term at the end, 0 to 1.
        beta: Weight of the linear bounds at the end, 0 to 1.
        warmup: Share of the run that trains on clean images alone.
        ramp: Share of the run during which the radius rises to `eps`.

    >>> import torch
    >>> from torch import nn
    >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> method = CrownIBP(student)
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['cert', 'nat']
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        eps: float = 8 / 255,
        kappa: float = 0.0,
        beta: float = 0.0,
        warmup: float = 0.01,
        ramp: float = 0.6,
    ) -> None:
        super().__init__()
        self.student, self.eps, self.kappa, self.beta = student, eps, kappa, beta
        self.rise = Ramp(warmup, ramp)

    def probe(self, x: Tensor, y: Tensor, attack: PGD, generator: torch.Generator) -> dict[str, Tensor]:
        """Return which labels are certain within the final radius."""
        return {"certified": certified(self.student, x, y, self.eps, "crown-ibp" if self.beta else "ibp")}

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        risen = self.rise.value
        kappa, beta, eps = 1 - risen * (1 - self.kappa), 1 - risen * (1 - self.beta), risen * self.eps
        nat = cross_entropy(self.student(x), y)
        cert = cross_entropy(self._worst(x, y, eps, beta), y) if eps else nat
        return Loss(kappa * nat + (1 - kappa) * cert, {"nat": nat, "cert": cert})

    def _worst(self, x: Tensor, y: Tensor, eps: float, beta: float) -> Tensor:
        weights = {"ibp": 1 - beta, "crown-ibp": beta}
        parts = [weight * worst_logits(self.student, x, y, eps, how) for how, weight in weights.items() if weight]
        return torch.stack(parts).sum(0)
