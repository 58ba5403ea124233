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
from robustill.attacks.threat import Norm, check_attack, per_image
from robustill.errors import InputError

# Numbers that stay in a processor's cache with all that is made of them.
_CACHED = 40_000


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

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> points = FAB(eps=0.25)(model, x, y, generator=torch.Generator().manual_seed(0))
    >>> model(points).argmax(1)
    tensor([1, 0])
    """

    eps: float
    steps: int = 100
    norm: Norm = "Linf"
    target: int = 1
    bias: float = 0.1
    overshoot: float = 1.05
    back: float = 0.9

    def __post_init__(self) -> None:
        check_attack(self)
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
        x = state["x"]
        moved, state["times"], length = self._aim(state, *self._boundary(model, state))
        with torch.no_grad():
            logits = model(moved)
        across = (logits.argmax(1) != state["y"]) | ~logits.isfinite().all(1)
        state["fallen"] = across & (length <= self.eps)
        if bool(state["fallen"].any()):
            # Projecting a point that is inside only rounds it to one that is inside exactly.
            state["x_adv"] = torch.where(state["fallen"].reshape(per_image(x)), self.project(state, moved), x)
        state["point"] = torch.lerp(x, moved, torch.where(across, self.back, 1.0).to(x.dtype).reshape(per_image(x)))
        state["left"] = state["left"] - 1

    def _aim(self, state: State, ahead: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return where to go next, like `x`, the times of the steps there `[B, 2]`, and the distances from x `[B]`."""
        x, point, slope = (each.flatten(1) for each in (state["x"], state["point"], slope))
        parts = max(_CACHED // x.shape[1], 1) if x.device.type == "cpu" else len(x)
        cuts = zip(*(torch.split(each, parts) for each in (x, point, slope, ahead, state["times"])), strict=True)
        moved, times, length = (torch.cat(each) for each in zip(*(self._aim_part(*cut) for cut in cuts), strict=True))
        return moved.view_as(state["x"]), times, length

    def _aim_part(
        self, x: Tensor, point: Tensor, slope: Tensor, ahead: Tensor, times: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        # From the point and from x: the plane where the linearised difference of logits vanishes.
        starts, shift = torch.stack([point, x]), torch.linalg.vecdot(slope, x - point)
        # The planes move little from step to step.
        steps, at = step_to_plane(starts, slope, torch.stack([-ahead, -ahead - shift]), self.norm, times.T)
        near, far = self._length(steps).clamp_min(1e-8)
        share = (near / (near + far)).clamp(0, self.bias)[:, None]
        here, there = starts.add_(steps, alpha=self.overshoot)
        moved = torch.lerp(here, there, share).clamp_(0, 1)
        return moved, at.T, self._length(moved - x)

    def _boundary(self, model: nn.Module, state: State) -> tuple[Tensor, Tensor]:
        """Return `z_target - z_y` at the current point `[B]`, and its gradient."""
        point = state["point"].detach().requires_grad_()
        with torch.enable_grad():
            logits = model(point)
            ahead = (logits.gather(1, state["target"][:, None]) - logits.gather(1, state["y"][:, None])).squeeze(1)
            slope = input_gradient(ahead.sum(), point)
        return torch.nan_to_num(ahead.detach().to(point.dtype)), slope

    def _length(self, delta: Tensor) -> Tensor:
        return delta.abs().amax(-1) if self.norm == "Linf" else torch.linalg.vector_norm(delta, dim=-1)
