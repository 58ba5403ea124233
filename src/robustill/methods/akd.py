"""AKD: adversarial knowledge distillation, labels mixed with the outputs of one or several teachers.

Paper: Maroto, Ortiz-Jimenez, Frossard, "On the benefits of knowledge distillation for adversarial robustness",
    arXiv 2203.07159.
Inner: CE(S(x'), y)
Outer: CE(S(x'), (1 - lam) onehot(y) + lam mean_k T_k(x'; t))
State: none
Differs: there is no released code; the form is read from the paper's description, and its lam is not known here.
Settings: lam 0.5 to 1, by validation; the paper's guidelines: teachers stopped early (a run's student.safetensors,
    chosen on its validation split, rather than student_last), ensembles, and teachers trained against a weaker attack;
    eps 8/255, step 2/255, 10 steps, uniform start.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, probabilities, soft_cross_entropy
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class AKD(AdversarialMethod):
    """Adversarial training towards a mixture of the label and the teachers' mean probabilities.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Teacher, or several; frozen.
        lam: Weight of the teachers, 0 (PGD-AT) to 1.
        temperature: Divides the teachers' logits.
        clean_target: Show the teachers x instead of x'.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = AKD(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | Sequence[nn.Module],
        *,
        lam: float = 0.5,
        temperature: float = 1.0,
        clean_target: bool = False,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="uniform"),
    ) -> None:
        super().__init__()
        several = [teacher] if isinstance(teacher, nn.Module) else teacher
        self.student, self.teachers, self.attack = student, nn.ModuleList(map(Frozen, several)), attack
        self.lam, self.temperature, self.clean_target = lam, temperature, clean_target

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        shown = x if self.clean_target else x_adv
        soft = [probabilities(teacher(shown), temperature=self.temperature) for teacher in self.teachers]
        taught = torch.stack(soft).mean(0)
        label = F.one_hot(y, taught.shape[1]).to(taught.dtype)
        adv = soft_cross_entropy(self.student(x_adv), (1 - self.lam) * label + self.lam * taught)
        return Loss(adv, {"adv": adv})
