"""The shortest step inside the image box to a hyperplane, for Linf and L2."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.attacks.threat import Norm


def step_to_plane(t: Tensor, w: Tensor, rise: Tensor, norm: Norm) -> Tensor:
    """Return the shortest `d` with `<w, t + d> = <w, t> + rise` and `t + d` in [0, 1], `[B, n], [B, n], [B] -> [B, n]`.

    Where the box does not reach the plane, `d` goes as far as it can. Each coordinate moves at its own speed (1 for
    Linf, |w| for L2) until it meets the box; what they gain together is piecewise linear in time and is solved exactly.
    """
    w = torch.where(rise[:, None] < 0, -w, w)
    rise = rise.abs()
    size = w.abs()
    room = torch.where(w > 0, 1 - t, t).clamp_min(0)
    speed = torch.ones_like(w) if norm == "Linf" else size
    tiny = torch.finfo(w.dtype).tiny
    meets = torch.where(size > 0, room / speed.clamp_min(tiny), 0)
    time = _time(meets, size * room, size * speed, rise)
    return w.sign() * torch.minimum(time[:, None] * speed, room)


def _time(meets: Tensor, full: Tensor, rate: Tensor, rise: Tensor) -> Tensor:
    """Return when the gains add up to `rise`; each gains `rate` per time until it `meets` the box and stays `full`."""
    meets, order = meets.sort(dim=1)
    stopped, moving = full.gather(1, order).cumsum(1), rate.gather(1, order)
    # Summed from the end, so that the rate of the last ones is no difference of large numbers.
    left = moving.flip(1).cumsum(1).flip(1) - moving
    gained = stopped + meets * left
    k = torch.searchsorted(gained.cummax(1).values, rise[:, None])
    none = torch.zeros_like(rise)[:, None]
    before, rates = torch.cat([none, stopped], 1), torch.cat([rate.sum(1, keepdim=True), left], 1)
    time = (rise[:, None] - before.gather(1, k)) / rates.gather(1, k).clamp_min(torch.finfo(rise.dtype).tiny)
    last = meets[:, -1]
    return torch.minimum(time[:, 0].clamp_min(0), last)
