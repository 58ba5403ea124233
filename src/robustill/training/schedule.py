"""The learning rate as a pure function of the position in the run: nothing to save, nothing to resume."""

from __future__ import annotations

import math

from robustill.training.settings import ScheduleSettings


def lr_scale(schedule: ScheduleSettings, position: float, epochs: int) -> float:
    """Return the learning rate's share of its peak at `position` epochs into a run of `epochs`.

    Piecewise drops act from the first step after a milestone: with milestone 215, epochs 0 to 214 (0-based) run at the
    full rate. One-cycle climbs linearly and falls linearly to zero. The others climb linearly for `warmup_epochs`; a
    cosine falls from their end on, or from `start` where that is later.

    >>> [lr_scale(ScheduleSettings(milestones=(2, 3)), e, 4) for e in range(4)]
    [1.0, 1.0, 0.1, 0.010000000000000002]
    """
    climbed = min(position / schedule.warmup_epochs, 1.0) if schedule.warmup_epochs else 1.0
    return climbed * _peak_scale(schedule, position, epochs)


def _peak_scale(schedule: ScheduleSettings, position: float, epochs: int) -> float:
    if schedule.name == "piecewise":
        passed = sum(position >= milestone for milestone in schedule.milestones)
        return schedule.factor ** (min(passed, 1) if schedule.drops == "first" else passed)
    share = position / epochs
    if schedule.name == "cosine":
        begin = max(schedule.start, schedule.warmup_epochs)
        fallen = max(position - begin, 0.0) / max(epochs - begin, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * fallen)) * math.exp(-schedule.damping * fallen**2)
    if schedule.name == "one_cycle":
        climb = share / schedule.warmup if share < schedule.warmup else math.inf
        return min(climb, (1 - share) / (1 - schedule.warmup))
    return 1.0


def decay(schedule: ScheduleSettings, epoch: int, epochs: int) -> float:
    """Return the rate's share at the start of `epoch`, counting a warm-up as 1.0: what a method's own rates follow."""
    if schedule.name == "one_cycle" and epoch / epochs < schedule.warmup:
        return 1.0
    return _peak_scale(schedule, epoch, epochs)
