"""SAAD: adversarial distillation with sample-wise weights, from the teacher's entropy.

Paper: Lee, Chung, TMLR 2026, arXiv 2512.10275.
Inner: KL(T~(x') || S(x')), T~ = T(x) with the label's logit moved by lam <grad T_y(x), x' - x>
Outer: w (KL(T(x') || S(x')) + igdm (e / E) KL(softmax(T(x') - T(x - d)) || softmax(S(x') - S(x - d))))
    + beta (1 - w^) KL(T(x) || S(x))
Variants: where d = x' - x; w = scale (H - min H) over the batch, H the Renyi entropy of T(x'); w^ = w / max w. beta 0
    is the paper's main form, beta above 0 the one that teaches sure examples on clean images.
State: none (the ramp e / E follows the epochs, counted from 1)
Differs: the released scale is 5 whatever its option says (in one version of the code). x - d is not clipped to [0, 1],
    as released. The AdaAD, RSLAD and IGDM of the same repository have eps and step size swapped, and no SWA: they train
    at eps 2/255, SAAD and ARD at 8/255. Whether published rows come from them is not known.
Settings: igdm 1 on CIFAR-10, 10 on CIFAR-100, order 1, beta 0; eps 8/255, step 2/255, 10 steps, Gaussian start; SGD
    0.1, weight decay 2e-4, batch 128, 200 epochs, x0.1 after 100 and 150 epochs; SWA from the end of the 95th epoch on
    (training.average.start = 94). The weights are relative to the batch: its surest example gets 0, and so does a batch
    of one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.methods.whole import whole_max, whole_min
from robustill.models import Frozen


class SAAD(AdversarialMethod):
    """Learns most from examples whose adversarial form leaves the teacher unsure; attacks a linearised teacher.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Robust teacher, frozen; differentiable with respect to its input.
        igdm: Weight of the gradient term at the end of the run.
        beta: Weight of the clean term, for examples with little weight.
        scale: Weight per nat of entropy above the batch's lowest.
        order: Order of the Renyi entropy; 1 is Shannon's.
        lam: Size of the linear term in the attack; 0 is a fixed clean target.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = SAAD(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['H', 'adv', 'igdm', 'nat', 'weight']
    """

    whole_batch = "SAAD weighs each example by the least and the greatest entropy of the whole batch"
    among_processes = True

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        igdm: float = 1.0,
        beta: float = 0.0,
        scale: float = 5.0,
        order: float = 1.0,
        lam: float = 1.0,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = student, Frozen(teacher), attack
        self.igdm, self.beta, self.scale, self.order, self.lam = igdm, beta, scale, order, lam
        self.ramp = 1.0

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.ramp = (epoch + 1) / epochs

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        with torch.enable_grad():
            points = x.detach().requires_grad_()
            logits, label = self.teacher(points), y[:, None]
            (slope,) = torch.autograd.grad(logits.gather(1, label).sum(), points)
        target = logits.detach().to(slope.dtype)

        def objective(x_adv: Tensor) -> Tensor:
            rise = (slope * (x_adv - x)).flatten(1).sum(1, keepdim=True)
            return kl_div(self.student(x_adv), target.scatter_add(1, label, self.lam * rise))

        return objective

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        behind = 2 * x - x_adv
        ahead_t, ahead_s = self.teacher(x_adv), self.student(x_adv)
        change_t, change_s = ahead_t - self.teacher(behind), ahead_s - self.student(behind)
        unsure = entropy(ahead_t, order=self.order)
        weight = self.scale * (unsure - whole_min(unsure.min()))
        share = weight / whole_max(weight.max()).clamp_min(1e-12)
        adv, igdm = kl_div(ahead_s, ahead_t), kl_div(change_s, change_t)
        nat = kl_div(self.student(x), self.teacher(x))
        total = weight * (adv + self.igdm * self.ramp * igdm) + self.beta * (1 - share) * nat
        return Loss(total, {"adv": adv, "igdm": igdm, "nat": nat, "weight": weight, "H": unsure})
