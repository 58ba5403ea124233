"""Square: random search by squares, without gradients (Andriushchenko et al., ECCV 2020, arXiv 1912.00049)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustill.attacks.draws import uniform
from robustill.attacks.rows import State
from robustill.attacks.search import Search
from robustill.attacks.squares import bump, start_tiles, window_sides, windows
from robustill.attacks.threat import Norm, check_attack, l2_direction
from robustill.errors import InputError
from robustill.losses import margin

# Queries whose windows are drawn at a time: the draws cost more than a small network.
_AHEAD = 64
# Rows that a batch should have, and the queries after which successes are rare.
_ROWS, _EAGER = 512, 200
# Queries, of 10,000, after which the share of pixels that a square covers is halved.
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True, kw_only=True)
class Square(Search):
    """Changes one square at a time and keeps what raises the margin; squares shrink on the paper's schedule.

    Args:
        eps: Radius in pixel units of [0, 1].
        queries: Number of forward passes per example, the start not counted.
        norm: `"Linf"` or `"L2"`.
        share: Share of the pixels that the first squares cover.
        rescale: Stretch the schedule, which is for 10,000 queries, to `queries`, as the paper has it. AutoAttack's
            published form does not.

    Raises:
        InputError: An impossible radius, number of queries or share.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> model = nn.Sequential(nn.Flatten(), model)
    >>> points = Square(eps=0.25, queries=50)(model, x.view(2, 1, 1, 2), y, generator=torch.Generator().manual_seed(0))
    >>> model(points).argmax(1)
    tensor([1, 0])
    """

    eps: float
    queries: int = 5000
    norm: Norm = "Linf"
    share: float = 0.8
    rescale: bool = True

    def __post_init__(self) -> None:
        check_attack(self)
        if not (self.eps >= 0 and self.queries >= 1 and 0 < self.share <= 1 and self.norm in ("Linf", "L2")):
            raise InputError(f"impossible attack {self}", "eps >= 0, queries >= 1, 0 < share <= 1, norm Linf or L2")

    @property
    def length(self) -> int:
        """How many steps a row takes if it never falls."""
        return self.queries

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        """Start from vertical stripes (Linf) or a tiling by bumps (L2)."""
        key = torch.stack([torch.randint(2**62, (), generator=g) for g in generators]).to(x.device)
        state = {"x": x, "y": y, "key": key, "left": torch.full_like(y, self.queries), "x_best": x}
        state |= self.bounds(x)
        draws = uniform(key, torch.full_like(y, self.queries + 1), x.shape[1] * x.shape[2] * x.shape[3])
        state["x_adv"] = (
            self._stripes(state, draws) if self.norm == "Linf" else self._on_sphere(state, start_tiles(x, draws))
        )
        # Of its own, since it is changed in place.
        state["x_best"] = state["x_adv"].clone()
        state["fallen"], state["best"] = self._ask(model, state["x_adv"], y)
        if self.norm == "Linf":
            planned = (len(x), _AHEAD, x.shape[1] * x.shape[2]), (len(x), _AHEAD, x.shape[3])
            state |= {"rows": x.new_zeros(planned[0]), "columns": x.new_zeros(planned[1])}
            # Nothing is planned yet: as if a whole plan had been used up.
            state["planned"] = state["left"] + _AHEAD
        return state

    def advance(self, model: nn.Module, state: State) -> None:
        """Try the next changes of every row until one raises the margin, and keep that.

        Several are asked at once, all from the same point: those up to the first success are what one by one would
        have given, those after it are thrown away and come again. It fills the batch where few examples are left.
        """
        ahead, before = self._ahead(state), state["left"]
        points = self._squares(state, ahead) if self.norm == "Linf" else self._moves(state, ahead)
        fallen, value = self._ask(model, points.flatten(0, 1), state["y"].repeat_interleave(ahead))
        fallen, value = fallen.view(-1, ahead), value.view(-1, ahead)
        number = torch.arange(ahead, device=before.device)
        counts = (fallen | (value > state["best"][:, None])) & (number < before[:, None])
        success = counts.any(1)
        # The first success, else the last change.
        place = torch.where(success, counts.int().argmax(1), ahead - 1)
        at = torch.arange(len(place), device=place.device)
        state["x_adv"], state["fallen"], value = points[at, place], fallen[at, place] & success, value[at, place]
        better = (value > state["best"]).logical_and_(success).nonzero().flatten()
        # Rows in place: few change in most steps.
        for name, new in (("best", value), ("x_best", state["x_adv"])):
            state[name].index_copy_(0, better, new.index_select(0, better))
        state["left"] = (before - place - 1).clamp_min(0)

    def _ahead(self, state: State) -> int:
        """Return how many changes to try at once; early ones often succeed, and the next would be in vain."""
        asked = self.queries - int(state["left"].max())
        return 1 if asked < _EAGER else max(1, min(_ROWS // len(state["left"]), _AHEAD // 4))

    def _ask(self, model: nn.Module, points: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits = model(points)
        value = margin(logits, y)
        return (value > 0) | ~logits.isfinite().all(1), value

    def _side(self, left: Tensor, x: Tensor) -> Tensor:
        """Return the side of each row's square `[B]`."""
        query = self.queries - left
        if self.rescale:
            query = query * 10_000 // self.queries
        halvings = torch.bucketize(query, torch.tensor(_HALVED_AFTER, device=query.device))
        side = (self.share * 0.5**halvings * x.shape[2] * x.shape[3]).sqrt().round().long()
        if self.norm == "L2":
            side = side.clamp_min(3)
            side = side + (side % 2 == 0)
        return side.clamp(1, min(x.shape[2:]))

    def _stripes(self, state: State, draws: Tensor) -> Tensor:
        x = state["x"]
        signs = _signs(draws[:, : x.shape[1] * x.shape[3]], x).reshape(len(x), x.shape[1], 1, x.shape[3])
        return self.project(state, x + self.eps * signs)

    def _squares(self, state: State, ahead: int) -> Tensor:
        """Return the next changes of each row, `[B, ahead, ...]`: a window up or down as far as the ball goes."""
        best, slot = state["x_best"], state["planned"] - state["left"]
        if bool((slot + ahead > _AHEAD).any()):
            self._plan(state)
            slot = torch.zeros_like(slot)
        at = torch.arange(len(slot), device=slot.device)[:, None]
        slots = slot[:, None] + torch.arange(ahead, device=slot.device)
        rows = state["rows"][at, slots].view(-1, ahead, *best.shape[1:3], 1)
        columns = state["columns"][at, slots][:, :, None, None]
        low, high = state["low"][:, None], state["high"][:, None]
        return torch.addcmul(best[:, None], rows, columns).clamp_(low, high)

    def _plan(self, state: State) -> None:
        """Draw the windows of the next queries: their rows, by sign and height, and their columns."""
        x, count = state["x"], len(state["x"])
        left = (state["left"][:, None] - torch.arange(_AHEAD, device=x.device)).flatten()
        draws = uniform(state["key"].repeat_interleave(_AHEAD), left, 5 + x.shape[1])
        rows, columns = window_sides(draws[:, :2], self._side(left, x), x)
        signs = _signs(draws[:, 5 : 5 + x.shape[1]], x)
        height = 2 * self.eps * signs[:, :, None] * rows[:, None]
        state["rows"], state["columns"] = height.view(count, _AHEAD, -1), columns.view(count, _AHEAD, -1)
        state["planned"] = state["left"].clone()

    def _moves(self, state: State, ahead: int) -> Tensor:
        """Return the next changes of each row, `[B, ahead, ...]`, for L2."""
        moves = []
        for k in range(ahead):
            left = state["left"] - k
            draws = uniform(state["key"], left, 5 + state["x"].shape[1])
            moves.append(self._moved(state, draws, self._side(left, state["x"])))
        return torch.stack(moves, 1)

    def _moved(self, state: State, draws: Tensor, side: Tensor) -> Tensor:
        """Move the norm of one window into another, in the shape of a bump."""
        x, delta = state["x"], state["x_best"] - state["x"]
        to, source = windows(draws[:, :2], side, x), windows(draws[:, 2:4], side, x)
        signs = _signs(draws[:, 5 : 5 + x.shape[1]], x)[:, :, None, None]
        inside = delta * to
        new = bump(draws[:, :2], side, draws[:, 4] > 0.5, x) * signs + inside / _length(inside).clamp_min(1e-12)
        unused = (self.eps**2 - _length(delta, all_channels=True) ** 2).clamp_min(0) / x.shape[1]
        both = _length(delta * torch.maximum(to, source))
        new = new / _length(new).clamp_min(1e-12) * (unused + both**2).sqrt()
        return self._on_sphere(state, delta * (1 - torch.maximum(to, source)) + new)

    def _on_sphere(self, state: State, delta: Tensor) -> Tensor:
        return self.project(state, state["x"] + self.eps * l2_direction(delta))


def _signs(draws: Tensor, x: Tensor) -> Tensor:
    return torch.where(draws < 0.5, -1.0, 1.0).to(x.dtype)


def _length(delta: Tensor, *, all_channels: bool = False) -> Tensor:
    """Return the L2 norm per channel `[B, C, 1, 1]`, or of the whole image `[B, 1, 1, 1]`."""
    length: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2, 3) if all_channels else (2, 3), keepdim=True)
    return length
