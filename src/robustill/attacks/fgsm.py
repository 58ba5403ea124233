"""The fast gradient sign method (Goodfellow et al., ICLR 2015, arXiv 1412.6572)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Never

from torch import Tensor

from robustill.attacks.objective import Objective, refuse_labels
from robustill.attacks.pgd import PGD
from robustill.attacks.threat import Generators, Norm, check_attack


@dataclass(frozen=True, kw_only=True)
class FGSM:
    """One step of length `eps` from x itself, without a random start.

    Args:
        eps: Radius in pixel units of [0, 1].
        norm: `"Linf"` or `"L2"`.

    >>> import torch
    >>> attack = FGSM(eps=0.25)
    >>> attack(lambda x: (x - 0.5).square().sum(1), torch.tensor([[0.40, 0.875]]))
    tensor([[0.1500, 1.0000]])
    """

    eps: float
    norm: Norm = "Linf"

    def __post_init__(self) -> None:
        check_attack(self)

    def __call__(self, objective: Objective, x: Tensor, *labels: Never, generator: Generators = None) -> Tensor:
        """Return `x` moved by one step, `[B, ...]`; `generator` is accepted for symmetry and unused, `labels` are not.

        Raises:
            InputError: As in `PGD`.
        """
        refuse_labels(self, labels)
        if self.eps == 0:
            return x.detach().clone()
        return PGD(eps=self.eps, step_size=self.eps, steps=1, norm=self.norm, init="none")(objective, x)
