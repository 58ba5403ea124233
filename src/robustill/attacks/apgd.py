"""APGD: projected gradient ascent without a step size (Croce and Hein, ICML 2020, arXiv 2003.01690)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from robustill.attacks.objective import input_gradient
from robustill.attacks.rows import State
from robustill.attacks.search import Search, wrong_class
from robustill.attacks.threat import Norm, ball, check_attack, draw, l2_direction, per_image
from robustill.errors import InputError
from robustill.losses import cross_entropy, dlr, dlr_targeted

Surrogate = Literal["ce", "dlr", "ce-targeted", "dlr-targeted"]
_MOMENTUM = 0.75
# Shares of the steps: first window between checks, by how much each is shorter, shortest window.
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06


@dataclass(frozen=True, kw_only=True)
class APGD(Search):
    """Momentum steps of 2 eps at first, halved with a return to the best point where a window brought too little.

    Args:
        eps: Radius in pixel units of [0, 1].
        steps: Steps; each costs one forward and one backward pass, and the start one more.
        norm: `"Linf"` or `"L2"`.
        loss: What it maximises: cross-entropy, difference-of-logits ratio, or either towards a target class.
        target: For the targeted losses: 1 is the likeliest wrong class at x, 2 the next.
        rho: Share of the steps of a window that must increase the loss, or the step size is halved.
        samples: Gradients averaged per step, for models whose output is random.

    Raises:
        InputError: An impossible radius, number of steps or loss.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> points = APGD(eps=0.25)(model, x, y, generator=torch.Generator().manual_seed(0))
    >>> model(points).argmax(1)
    tensor([1, 0])
    """

    eps: float
    steps: int = 100
    norm: Norm = "Linf"
    loss: Surrogate = "ce"
    target: int = 1
    rho: float = 0.75
    samples: int = 1

    def __post_init__(self) -> None:
        check_attack(self)
        if not (self.eps >= 0 and self.steps >= 1 and self.target >= 1 and self.samples >= 1 and 0 <= self.rho <= 1):
            raise InputError(f"impossible attack {self}", "eps >= 0, steps, target and samples >= 1, rho in [0, 1]")
        if self.loss not in get_args(Surrogate):
            raise InputError(f"unknown loss {self.loss!r}", f"choose one of {', '.join(get_args(Surrogate))}")

    @property
    def least_classes(self) -> int:
        """How many classes the loss needs."""
        return {"dlr": 3, "dlr-targeted": 4}.get(self.loss, 2)

    @property
    def length(self) -> int:
        """How many steps a row takes if it never falls."""
        return self.steps

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        """Start at a random point on the ball's surface."""
        x_adv = self._start(x, generators)
        size = torch.full((len(x),), 2 * self.eps, dtype=x.dtype, device=x.device)
        window = torch.full_like(y, max(int(_FIRST * self.steps), 1))
        state = {"x": x, "y": y, "x_adv": x_adv, "x_old": x_adv, "x_best": x_adv, "size": size, "window": window}
        state |= self.bounds(x)
        if self.loss.endswith("-targeted"):
            with torch.no_grad():
                state["target"] = wrong_class(model(x), y, self.target)
        state["fallen"], state["value"], state["grad"] = self._evaluate(model, state)
        state |= {"grad_best": state["grad"], "best": state["value"], "best_checked": state["value"]}
        state |= {"since": torch.zeros_like(y), "rises": torch.zeros_like(y), "left": torch.full_like(y, self.steps)}
        state["halved"] = torch.ones_like(y, dtype=torch.bool)
        return state

    def advance(self, model: nn.Module, state: State) -> None:
        """Take one step in every row, and check the rows whose window is over."""
        x_adv = state["x_adv"]
        ahead = self.project(state, self._ascent(state))
        # The first step has no direction to keep.
        share = torch.where(state["left"] == self.steps, 1.0, _MOMENTUM).to(x_adv.dtype).reshape(per_image(x_adv))
        moved = torch.lerp(x_adv, ahead, share).addcmul_(1 - share, x_adv - state["x_old"])
        state["x_old"], state["x_adv"] = x_adv, self.project(state, moved)
        before = state["value"]
        state["fallen"], state["value"], state["grad"] = self._evaluate(model, state)
        state["rises"] = state["rises"] + (state["value"] > before)
        better = state["value"] > state["best"]
        self._assign(state, better, {"x_best": "x_adv", "grad_best": "grad", "best": "value"})
        state["since"], state["left"] = state["since"] + 1, state["left"] - 1
        due = state["since"] == state["window"]
        if bool(due.any()):
            self._check(state, due)

    def _check(self, state: State, due: Tensor) -> None:
        """Halve the step size of rows that oscillate or stand still, and send them back to their best point."""
        oscillates = state["rises"] <= self.rho * state["window"]
        stands = ~state["halved"] & (state["best_checked"] >= state["best"])
        halve = due & (oscillates | stands)
        state["halved"] = torch.where(due, halve, state["halved"])
        state["size"] = torch.where(halve, state["size"] / 2, state["size"])
        # A row that has just fallen keeps its adversarial point.
        self._assign(state, halve & ~state["fallen"], {"x_adv": "x_best", "grad": "grad_best"})
        self._assign(state, due, {"best_checked": "best"})
        shorter = (state["window"] - max(int(_SHORTER * self.steps), 1)).clamp_min(max(int(_SHORTEST * self.steps), 1))
        state["window"] = torch.where(due, shorter, state["window"])
        state["since"], state["rises"] = (torch.where(due, 0, state[name]) for name in ("since", "rises"))

    def _assign(self, state: State, where: Tensor, names: dict[str, str]) -> None:
        at = where.nonzero().flatten()
        for to, source in names.items():
            # Rows, not a masked copy of all: few change in most steps. A new tensor, since others may share the old.
            state[to] = state[to].index_copy(0, at, state[source].index_select(0, at)) if len(at) else state[to]

    def _evaluate(self, model: nn.Module, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Return where the model errs at `x_adv`, the loss there `[B]` and its gradient."""
        x_adv, y = state["x_adv"].detach().requires_grad_(), state["y"]
        value: Tensor = torch.zeros((), device=x_adv.device)
        fallen = torch.zeros_like(y, dtype=torch.bool)
        with torch.enable_grad():
            for _ in range(self.samples):
                logits = model(x_adv)
                value = value + self._surrogate(logits, state) / self.samples
                fallen = fallen | (logits.argmax(1) != y) | ~logits.isfinite().all(1)
            grad = input_gradient(value.sum(), x_adv)
        return fallen, value.detach(), grad

    def _surrogate(self, logits: Tensor, state: State) -> Tensor:
        if self.loss == "ce":
            return cross_entropy(logits, state["y"])
        if self.loss == "dlr":
            return dlr(logits, state["y"])
        if self.loss == "ce-targeted":
            return -cross_entropy(logits, state["target"])
        return dlr_targeted(logits, state["y"], state["target"])

    def _start(self, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        region = ball(self.norm, x, self.eps)
        if self.norm == "Linf":
            noise = 2 * draw(torch.rand, x, generators) - 1
            return region.project(x + self.eps * noise / noise.abs().flatten(1).amax(1).reshape(per_image(x)))
        return region.project(x + self.eps * l2_direction(draw(torch.randn, x, generators)))

    def _ascent(self, state: State) -> Tensor:
        grad, size = state["grad"], state["size"].reshape(per_image(state["grad"]))
        return torch.addcmul(state["x_adv"], size, grad.sign() if self.norm == "Linf" else l2_direction(grad))
