"""The shortest step inside the image box to a hyperplane, for Linf and L2."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.attacks.threat import Norm


def step_to_plane(t: Tensor, w: Tensor, rise: Tensor, norm: Norm) -> Tensor:
    """Return the shortest `d` with `<w, t + d> = <w, t> + rise` and `t + d` in [0, 1], `[B, n], [B, n], [B] -> [B, n]`.

    Where the box does not reach the plane, `d` goes as far as it can. Each coordinate moves at its own speed (1 for
    Linf, |w| for L2) until it meets the box; what they gain together is concave and piecewise linear in time.
    """
    up, rise = (w * rise.sign()[:, None]) > 0, rise.abs()
    size = w.abs()
    # No weight, no move: such a coordinate gains nothing.
    room = torch.where(up, 1 - t, t).clamp_min_(0).mul_(size > 0)
    speed = None if norm == "Linf" else size
    moved = _moved(_time(room, size, speed, rise), room, speed)
    return torch.where(up, moved, -moved)


def _moved(time: Tensor, room: Tensor, speed: Tensor | None) -> Tensor:
    return torch.minimum(room, time[:, None] if speed is None else time[:, None] * speed)


def _time(room: Tensor, size: Tensor, speed: Tensor | None, rise: Tensor) -> Tensor:
    """Return when the gains add up to `rise`, by Newton's method from the left.

    Its tangents lie above a concave function, so that it never passes the root, and once no more coordinates meet the
    box it has arrived: exact after as many rounds as there are pieces on the way, which are few.
    """
    tiny = torch.finfo(size.dtype).tiny
    moving = room > 0
    time = torch.zeros_like(rise)
    for _ in range(room.shape[1] + 1):
        gained = torch.linalg.vecdot(size, _moved(time, room, speed))
        rate = torch.linalg.vecdot(size, moving.to(size.dtype) if speed is None else moving * speed)
        # No rate: everything has met the box, and the last time is as good as any later one.
        step = torch.where(rate > 0, (rise - gained) / rate.clamp_min(tiny), 0).clamp_min_(0)
        time = time + step
        before, moving = moving, room > (time[:, None] if speed is None else time[:, None] * speed)
        if torch.equal(before, moving):
            break
    return time
