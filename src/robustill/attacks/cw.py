"""The margin attack of Carlini and Wagner (S&P 2017, arXiv 1608.04644) inside a ball."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from robustill.attacks.modes import eval_mode
from robustill.attacks.pgd import PGD
from robustill.attacks.threat import Generators, Norm, check_attack
from robustill.losses import margin


@dataclass(frozen=True, kw_only=True)
class CW:
    """PGD on `min(max_{k != y} z_k - z_y, confidence)`, after the `CW_inf` column of the RSLAD and MTARD tables.

    The released attack of that name looks for its perturbation without the pixels' box and clips to [0, 1] at the end;
    here every step stays in the box, and none is lost on pixels that cannot move. That is mostly a little stronger.

    Args:
        eps: Radius in pixel units of [0, 1].
        step_size: Length of one step.
        steps: Number of steps.
        confidence: Margin beyond which an example is left alone.
        norm: `"Linf"` or `"L2"`.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> attack = CW(eps=0.25, step_size=0.1)
    >>> points = attack(model, x, y, generator=torch.Generator().manual_seed(0))
    >>> model(points).argmax(1)
    tensor([1, 0])
    """

    eps: float
    step_size: float
    steps: int = 30
    confidence: float = 50.0
    norm: Norm = "Linf"

    def __post_init__(self) -> None:
        check_attack(self)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, *, generator: Generators = None) -> Tensor:
        """Return points `[B, ...]` around `x` where `model` prefers another class than `y` `[B]`.

        The model is attacked in eval mode; its modes are restored.
        """
        pgd = PGD(eps=self.eps, step_size=self.step_size, steps=self.steps, norm=self.norm, init="none")
        with eval_mode(model):
            return pgd(lambda x_adv: margin(model(x_adv), y).clamp(max=self.confidence), x, generator=generator)
