"""FAB: the nearest adversarial point, by steps to linear boundaries (Croce and Hein, ICML 2020, arXiv 1907.02044)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustill.attacks.objective import input_gradient
from robustill.attacks.plane import step_to_plane
from robustill.attacks.rows import State
from robustill.attacks.search import Search, wrong_class
from robustill.attacks.threat import Norm, per_image
from robustill.errors import InputError


@dataclass(frozen=True, kw_only=True)
class FAB(Search):
    """Steps to the boundary towards one class, biased towards x, and back along the way once across.

    An example falls when the point across the boundary lies in the ball. The targeted form: the boundary is that
    between the label and one class.

    Args:
        eps: Radius in pixel units of [0, 1].
        steps: Steps; each costs two forward passes and one backward pass.
        norm: `"Linf"` or `"L2"`.
        target: 1 is the likeliest wrong class at x, 2 the next.
        bias: Largest share of the step that starts from x instead of the current point.
        overshoot: Length of a step, in distances to the linear boundary.
        back: Share of the way from x that is kept after a success.

    Raises:
        InputError: An impossible setting.
    """

    eps: float
    steps: int = 100
    norm: Norm = "Linf"
    target: int = 1
    bias: float = 0.1
    overshoot: float = 1.05
    back: float = 0.9

    def __post_init__(self) -> None:
        if not (self.eps >= 0 and self.steps >= 1 and self.target >= 1 and self.norm in ("Linf", "L2")):
            raise InputError(f"impossible attack {self}", "eps >= 0, steps and target >= 1, norm Linf or L2")

    @property
    def length(self) -> int:
        """How many steps a row takes if it never falls."""
        return self.steps

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        """Start at x itself."""
        with torch.no_grad():
            logits = model(x)
        target = wrong_class(logits, y, self.target)
        state = {"x": x, "y": y, "target": target, "point": x, "x_adv": x, "x_best": x} | self.bounds(x)
        state["times"] = x.new_zeros(len(x), 2)
        return state | {"left": torch.full_like(y, self.steps), "fallen": logits.argmax(1) != y}

    def advance(self, model: nn.Module, state: State) -> None:
        """Take one step towards the boundary in every row."""
        x, point = state["x"], state["point"]
        ahead, slope = self._boundary(model, state)
        # From the point and from x: the plane where the linearised difference of logits vanishes.
        shift = (slope * (x - point)).flatten(1).sum(1)
        starts, rises = torch.cat([point, x]).flatten(1), torch.cat([-ahead, -ahead - shift])
        # The planes move little from step to step.
        guess = state["times"].T.flatten()
        steps, times = step_to_plane(starts, slope.flatten(1).repeat(2, 1), rises, self.norm, guess)
        state["times"] = times.view(2, -1).T
        near, far = self._length(steps).clamp_min(1e-8).chunk(2)
        share = (near / (near + far)).clamp(0, self.bias).reshape(per_image(x))
        here, there = torch.add(starts, steps, alpha=self.overshoot).view(2, *x.shape)
        moved = torch.lerp(here, there, share).clamp_(0, 1)
        with torch.no_grad():
            logits = model(moved)
        across = (logits.argmax(1) != state["y"]) | ~logits.isfinite().all(1)
        inside = self._length((moved - x).flatten(1)) <= self.eps
        state["fallen"] = across & inside
        if bool(state["fallen"].any()):
            # Projecting a point that is inside only rounds it to one that is inside exactly.
            state["x_adv"] = torch.where(state["fallen"].reshape(per_image(x)), self.project(state, moved), x)
        state["point"] = torch.lerp(x, moved, torch.where(across, self.back, 1.0).to(x.dtype).reshape(per_image(x)))
        state["left"] = state["left"] - 1

    def _boundary(self, model: nn.Module, state: State) -> tuple[Tensor, Tensor]:
        """Return `z_target - z_y` at the current point `[B]`, and its gradient."""
        point = state["point"].detach().requires_grad_()
        with torch.enable_grad():
            logits = model(point)
            ahead = (logits.gather(1, state["target"][:, None]) - logits.gather(1, state["y"][:, None])).squeeze(1)
            slope = input_gradient(ahead.sum(), point)
        return torch.nan_to_num(ahead.detach().to(point.dtype)), slope

    def _length(self, delta: Tensor) -> Tensor:
        return delta.abs().amax(1) if self.norm == "Linf" else delta.norm(dim=1)
