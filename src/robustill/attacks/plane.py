"""The shortest step inside the image box to a hyperplane, for Linf and L2."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.attacks.threat import Norm

# Numbers that stay in a processor's cache with all that is made of them.
_CACHED = 40_000


def step_to_plane(t: Tensor, w: Tensor, rise: Tensor, norm: Norm, guess: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the shortest `d` with `<w, t + d> = <w, t> + rise` and `t + d` in [0, 1], `[B, n], [B, n], [B] -> [B, n]`.

    Where the box does not reach the plane, `d` goes as far as it can. Each coordinate moves at its own speed (1 for
    Linf, |w| for L2) until it meets the box; what they gain together is concave and piecewise linear in time. The time
    `[B]` is returned too: as the `guess` for a similar problem it saves work, and changes nothing else.
    """
    rows = max(_CACHED // max(t.shape[1], 1), 1)
    if t.device.type == "cpu" and len(t) > rows:
        guesses = guess if guess is not None else torch.zeros_like(rise)
        cuts = [slice(start, start + rows) for start in range(0, len(t), rows)]
        done = [step_to_plane(t[cut], w[cut], rise[cut], norm, guesses[cut]) for cut in cuts]
        return torch.cat([steps for steps, _ in done]), torch.cat([times for _, times in done])
    size, toward = w.abs(), (w * rise.sign()[:, None]).sign_()
    # How far the box lets each coordinate go: 1 - t upwards, t downwards, and no way without a weight.
    room = torch.addcmul(torch.full_like(t, 0.5), toward, 0.5 - t).mul_(toward.abs()).clamp_min_(0)
    speed = None if norm == "Linf" else size
    time = _time(room, size, speed, rise.abs(), guess)
    return _moved(time, room, speed).mul_(toward), time


def _moved(time: Tensor, room: Tensor, speed: Tensor | None) -> Tensor:
    return torch.minimum(room, time[:, None] if speed is None else time[:, None] * speed)


def _time(room: Tensor, size: Tensor, speed: Tensor | None, rise: Tensor, guess: Tensor | None) -> Tensor:
    """Return when the gains add up to `rise`, by Newton's method.

    Its tangents lie above a concave function: after one round it is left of the root, wherever it began, and never
    passes it again. Once no more coordinates meet the box it has arrived: exact after as many rounds as there are
    pieces on the way, which are few.
    """
    rates = size if speed is None else size * speed
    time = torch.zeros_like(rise) if guess is None else guess
    before = torch.full_like(rise, torch.inf)
    for _ in range(room.shape[1] + 1):
        moved = _moved(time, room, speed)
        # One where a coordinate is still on its way; arithmetic, since comparisons and `where` are slow on a CPU.
        moving = (room - moved).sign_()
        rate = torch.linalg.vecdot(rates, moving)
        if torch.equal(rate, before):
            break
        gained = torch.linalg.vecdot(size, moved)
        # No rate: everything has met the box. A later time is no better; an earlier one may do if there is too much.
        stuck = torch.where(gained > rise, 0, time)
        time = torch.where(rate > 0, time + (rise - gained) / rate, stuck).clamp_min_(0)
        before = rate
    return time
