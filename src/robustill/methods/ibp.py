"""IBP: certified training by interval bound propagation.

Paper: Gowal, Dvijotham, Stanforth, Bunel, Qin, Uesato, Arandjelovic, Mann, Kohli, "On the Effectiveness of Interval
    Bound Propagation for Training Verifiably Robust Models", 2018, arXiv 1810.12715.
Inner: none
Outer: k CE(S(x), y) + (1 - k) CE(w, y), w_j >= S(x')_j - S(x')_y for every x' near x, by intervals
Variants: the radius rises from 0 to eps and k falls from 1 to kappa during `ramp`, after `warmup`, both shares of the
    run. w covers the last layer with the differences of logits, as the paper does.
State: the steps of this epoch and of an epoch (the rise goes step by step, from the second epoch on)
Differs: the released ramp is in steps and may begin in the first epoch. The bounds are of the network in eval mode:
    batch norm enters with its running statistics.
Settings: kappa 1/2; MNIST: eps 0.2 or 0.4, Adam 1e-3, x0.1 after 25 and 42 %, batch 100, 100 epochs, warm-up 2,000
    steps (1/30) and ramp 10,000 steps (1/6). The last epoch is kept: an early one is accurate and certifies nothing.
    With selection.eps the certified share of the validation images is logged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.losses import cross_entropy
from robustill.methods.base import Loss
from robustill.methods.ramp import Ramp, Ramped
from robustill.methods.worst_case import certified, worst_logits


class IBP(Ramped):
    """Cross-entropy at the clean logits and at the worst ones that intervals cannot exclude.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`, of operations whose bounds are known.
        eps: Radius of the Linf ball, in units of [0, 1].
        kappa: Weight of the clean term at the end, 0 to 1.
        warmup: Share of the run that trains on clean images alone.
        ramp: Share of the run during which the radius rises to `eps`.

    >>> import torch
    >>> from torch import nn
    >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> method = IBP(student)
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['cert', 'nat']
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        eps: float = 8 / 255,
        kappa: float = 0.5,
        warmup: float = 1 / 30,
        ramp: float = 1 / 6,
    ) -> None:
        super().__init__()
        self.student, self.eps, self.kappa = student, eps, kappa
        self.rise = Ramp(warmup, ramp)

    def probe(self, x: Tensor, y: Tensor, attack: PGD, generator: torch.Generator) -> dict[str, Tensor]:
        """Return which labels are certain within the final radius."""
        return {"certified": certified(self.student, x, y, self.eps, "ibp")}

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        risen = self.rise.value
        kappa, eps = 1 - risen * (1 - self.kappa), risen * self.eps
        nat = cross_entropy(self.student(x), y)
        # With radius 0 the worst logits are the clean ones.
        cert = cross_entropy(worst_logits(self.student, x, y, eps, "ibp"), y) if eps else nat
        return Loss(kappa * nat + (1 - kappa) * cert, {"nat": nat, "cert": cert})
