"""VFD-Adv: vanilla feature distillation, around any method with an adversary.

Paper: "Vanilla Feature Distillation for Improving the Accuracy-Robustness Trade-Off in Adversarial Training",
    arXiv 2206.02158.
Inner: that of the wrapped method
Outer: wrapped + alpha (D(phi_S(x'), phi_N(x)) + D(phi_S(x), phi_N(x)))
Variants: where phi are penultimate features of the student and of a clean network N.
State: that of the wrapped method, and a linear projection where the widths differ (training.guides.projection)
Differs: there is no released code, and the published weights are not known here; D is the mean squared difference, or
    1 - cos.
Settings: alpha by validation; wrap pgd_at or trades with their own settings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.losses import cosine_distance, squared_distance
from robustill.methods.base import Loss, Method
from robustill.methods.wrapper import Wrapper
from robustill.models import Frozen, head, observed


class VFDAdv(Wrapper):
    """Draws the student's features, at x' and at x, to those that a clean network has at x.

    Args:
        base: The method to wrap.
        teacher_nat: Clean network, frozen.
        alpha: Weight of the features.
        cosine: Compare directions instead of values.

    Raises:
        InputError: `base` has no adversary.
        ModelError: Student or teacher has no penultimate features (no linear layer).

    >>> import torch
    >>> from torch import nn
    >>> from robustill.methods import RSLAD
    >>> student, teacher, teacher_nat = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(3))
    >>> method = VFDAdv(RSLAD(student, teacher), teacher_nat)
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat', 'phi_adv', 'phi_nat']
    """

    def __init__(self, base: Method, teacher_nat: nn.Module, *, alpha: float = 1.0, cosine: bool = False) -> None:
        super().__init__(base)
        self.teacher_nat, self.alpha = Frozen(teacher_nat), alpha
        self.distance = cosine_distance if cosine else squared_distance
        own, wanted = head(self.student).in_features, head(self.teacher_nat.network).in_features
        self.projection = nn.Identity() if own == wanted else nn.Linear(own, wanted)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        with observed(self.student) as calls, observed(head(self.student)) as heads:
            loss = super().outer(x, x_adv, y)
            for points in (x_adv, x):
                if not any(given is points for given, _ in calls):
                    self.student(points)
        features = {id(given): inside for (given, _), (inside, _) in zip(calls, heads, strict=True)}
        network = self.teacher_nat.network
        # Not `self.teacher_nat(x)`: a remembered answer would not pass through the head.
        with torch.no_grad(), observed(head(network)) as seen:
            network(x)
        adv, nat = (self.distance(self.projection(features[id(p)]), seen[0][0]) for p in (x_adv, x))
        return Loss(loss.per_example + self.alpha * (adv + nat), {**loss.terms, "phi_adv": adv, "phi_nat": nat})
