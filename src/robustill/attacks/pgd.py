"""Projected gradient descent (Madry et al., ICLR 2018, arXiv 1706.06083), on any objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Never

import torch
from torch import Tensor

from robustill.attacks.objective import Objective, checked, gradient, refuse_labels
from robustill.attacks.threat import Ball, Generators, Norm, ball, check_attack, draw, store
from robustill.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Maximise an objective by `steps` projected gradient steps; the last step counts.

    It knows the objective, not the networks in it, and leaves their modes as they are: a network in train mode moves
    the statistics of its batch norms at every step. Call it inside `eval_mode(network)`, or take `adversarial_points`,
    which does so itself. The gradient is taken for the points alone: no weight's `.grad` or `requires_grad` changes,
    and the result has no graph.

    Args:
        eps: Radius in pixel units of [0, 1].
        step_size: Length of one step, in the same unit (sign steps for Linf, normalised for L2).
        steps: Number of steps; each costs one forward and one backward pass.
        norm: `"Linf"` or `"L2"`.
        init: Start point: `"uniform"` in the ball, `"gaussian"` (x + sigma N(0, 1), as TRADES and its descendants
            do; not clipped before the first step), or `"none"` (x itself).
        sigma: Standard deviation of the Gaussian start.
        restarts: Independent runs; each example keeps the one with the highest objective.
        large_step: Allow `step_size > eps`.

    Raises:
        InputError: A negative radius or count, or a step larger than the radius without `large_step`.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> attack = PGD(eps=0.25, step_size=0.1, steps=5)
    >>> attack(lambda x_adv: -model(x_adv)[:, 0], x, generator=torch.Generator().manual_seed(0))
    tensor([[0.3500, 0.5341],
            [0.6500, 0.0000]])
    """

    eps: float
    step_size: float
    steps: int = 10
    norm: Norm = "Linf"
    init: Literal["uniform", "gaussian", "none"] = "uniform"
    sigma: float = 0.001
    restarts: int = 1
    large_step: bool = False

    def __post_init__(self) -> None:
        check_attack(self)
        if not (self.eps >= 0 and self.step_size > 0 and self.steps >= 0 and self.restarts >= 1):
            raise InputError(f"impossible attack {self}", "eps >= 0, step_size > 0, steps >= 0, restarts >= 1")
        if self.init not in ("uniform", "gaussian", "none") or self.norm not in ("Linf", "L2"):
            raise InputError(
                f"unknown init {self.init!r} or norm {self.norm!r}",
                "init is one of uniform, gaussian, none; norm is Linf or L2",
            )
        if self.step_size > self.eps > 0 and not self.large_step:
            raise InputError(
                f"step_size {self.step_size:g} exceeds eps {self.eps:g}: are the two swapped?",
                "pass large_step=True if it is meant",
            )

    def __call__(self, objective: Objective, x: Tensor, *labels: Never, generator: Generators = None) -> Tensor:
        """Return points `[B, ...]` in the ball around `x` where `objective` is high.

        Args:
            objective: Maps `[B, ...] -> [B]`, one value per example.
            x: Images in [0, 1], `[B, ...]`; float64, float32 or half precision.
            *labels: None: labels are part of the objective; on a network and labels see `adversarial_points`.
            generator: Source of the random start; one per example makes it independent of the batch size.

        Raises:
            InputError: Images outside [0, 1], or an objective that does not give one value per example.
        """
        refuse_labels(self, labels)
        objective = checked(objective)
        region = ball(self.norm, x, self.eps)
        best = self._run(objective, x, region, generator)
        if self.restarts == 1:
            return best
        with torch.no_grad():
            value = objective(best)
            for _ in range(self.restarts - 1):
                x_adv = self._run(objective, x, region, generator)
                again = objective(x_adv)
                better = again > value
                best = torch.where(better.reshape((-1,) + (1,) * (x.dim() - 1)), x_adv, best)
                value = torch.where(better, again, value)
        return best

    def _run(self, objective: Objective, x: Tensor, region: Ball, generator: Generators) -> Tensor:
        x_adv = self._start(x, region, generator)
        for _ in range(self.steps):
            grad = gradient(objective, x_adv.to(x.dtype)).to(x_adv.dtype)
            x_adv = region.step(x_adv, grad, self.step_size)
        return store(region.project(x_adv), x).detach()

    def _start(self, x: Tensor, region: Ball, generator: Generators) -> Tensor:
        if self.init == "uniform":
            return region.uniform(generator)
        wide = x.detach().float() if x.dtype in (torch.bfloat16, torch.float16) else x.detach()
        if self.init == "gaussian":
            return wide + self.sigma * draw(torch.randn, wide, generator)
        return wide
