"""The shortest step inside the image box to a hyperplane, for Linf and L2."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.attacks.threat import Norm

# Later than any coordinate meets the box, and still a number when it is multiplied by a speed.
_LATE = 1e30


def step_to_plane(t: Tensor, w: Tensor, rise: Tensor, norm: Norm, guess: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the shortest `d` with `<w, t + d> = <w, t> + rise` and `t + d` in [0, 1].

    Where the box does not reach the plane, `d` goes as far as it can. Each coordinate moves at its own speed (1 for
    Linf, |w| for L2) until it meets the box; what they gain together is concave and piecewise linear in time.

    Args:
        t: Points in [0, 1], `[..., B, n]`.
        w: Normals of the planes, `[B, n]`.
        rise: How far `<w, .>` has to rise, `[..., B]`.
        norm: Which length is the shortest.
        guess: Times, `[..., B]`; those of a similar problem save work, and change nothing else.

    Returns:
        `d`, `[..., B, n]`, and the times `[..., B]`.
    """
    size, toward = w.abs(), w.sign() * rise.sign()[..., None]
    # How far the box lets each coordinate go: 1 - t upwards, t downwards; anything where it has no weight.
    room = (0.5 - t).mul_(toward).add_(0.5)
    time, moved = _time(room, size, None if norm == "Linf" else size, rise.abs(), guess)
    return moved.mul_(toward), time


def _time(
    room: Tensor, size: Tensor, speed: Tensor | None, rise: Tensor, guess: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return when the gains add up to `rise`, and how far each coordinate has gone then, by Newton's method.

    Its tangents lie above a concave function: after one round it is left of the root, wherever it began, and never
    passes it again. On the piece of the root it arrives, up to rounding: in as many rounds as there are pieces on the
    way, which are few. It all happens in two buffers, so that many rows stay in a processor's cache.
    """
    moved, products = torch.empty_like(room), torch.mul(room, size)
    rates, most = size if speed is None else size * speed, products.sum(-1)
    time = torch.zeros_like(rise) if guess is None else guess
    time, rise = torch.where(rise >= most, _LATE, time), torch.minimum(rise, most)
    rounding = 64 * torch.finfo(rise.dtype).eps * rise
    for _ in range(room.shape[-1] + 1):
        _move(moved, time, room, speed)
        missing = rise - torch.mul(moved, size, out=products).sum(-1)
        if not bool((missing.abs() > rounding).any()):
            break
        # One where a coordinate is still on its way; arithmetic, since comparisons and `where` are slow on a CPU.
        rate = torch.sub(room, moved, out=products).sign_().mul_(rates).sum(-1)
        time = (time + missing / rate.clamp_min(1 / _LATE)).clamp_(0, _LATE)
    return time, moved


def _move(moved: Tensor, time: Tensor, room: Tensor, speed: Tensor | None) -> None:
    reach = time[..., None] if speed is None else torch.mul(speed, time[..., None], out=moved)
    torch.minimum(room, reach, out=moved)
