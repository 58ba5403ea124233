"""Settings that come too late, last too long or were left out for a run: they are allowed, but not in silence."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from robustill.training.settings import ScheduleSettings, Settings


def tell_left_out(settings: Settings, going_on: Iterable[str]) -> None:
    """Say which networks that were trained before go on by the student's optimizer, whose first steps are large."""
    for name in going_on:
        if name not in settings.guides or settings.guides[name].optimizer is None:
            key = f"training.guides.{name}.optimizer"
            sys.stderr.write(
                f"note: {name} was trained before and goes on by the student's optimizer, lr "
                f"{settings.optimizer.lr:g}, which may undo what it knows; {key} is its own\n"
            )


def tell_unreached(settings: Settings, arguments: Mapping[str, Any], steps: int) -> None:
    """Say which of `settings`, and of the method's `arguments`, begin after the last epoch, of `steps` each.

    Also which nothing reads, and an exponential average that looks back over more steps than there are.
    """
    found = list(unreached(settings, arguments))
    if found:
        count = f"{settings.epochs} epoch{'s' * (settings.epochs > 1)}"
        sys.stderr.write(f"note: never reached in {count}: {', '.join(found)}\n")
    nothing = list(unread(settings))
    if nothing:
        sys.stderr.write(f"note: without effect: {', '.join(nothing)}\n")
    average, averaged = settings.average, steps * (settings.epochs - settings.average.start)
    horizon = 1 / (1 - average.decay)
    if average.name == "ema" and 0 < averaged < horizon:
        sys.stderr.write(
            f"note: average.decay = {average.decay:g} averages some {horizon:.0f} steps, and there are {averaged}: "
            f"most of it are the first weights; {max(0.5, 1 - 10 / averaged):.3g} averages a tenth of the run\n"
        )


def unreached(settings: Settings, arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield settings, as `key = value`, whose 0-based epoch does not come in `settings.epochs`.

    >>> list(unreached(Settings(epochs=3, average={"name": "swa", "start": 3}), {"begin": 60, "alpha": 9.0}))
    ['average.start = 3', 'begin = 60']
    """
    if settings.average.name != "none" and settings.average.start >= settings.epochs:
        yield f"average.start = {settings.average.start}"
    if settings.awp.gamma > 0 and settings.awp.warmup >= settings.epochs:
        yield f"awp.warmup = {settings.awp.warmup}"
    yield from _of_schedule(settings.schedule, "", settings.epochs)
    for name, guide in settings.guides.items():
        if guide.schedule is not None:
            yield from _of_schedule(guide.schedule, f"guides.{name}.", settings.epochs)
    for name, value in arguments.items():
        if name.rpartition(".")[2] == "begin" and isinstance(value, int | float) and value >= settings.epochs:
            yield f"{name} = {value}"


# For whom a key of each table is; another value than its default does nothing for anyone else.
_READERS = {
    "optimizer": {"sgd": ("momentum", "nesterov"), "adamw": ()},
    "schedule": {
        "piecewise": ("milestones", "factor", "drops"),
        "one_cycle": ("warmup",),
        "cosine": ("start", "damping"),
    },
    "average": {"ema": ("decay", "start", "batch_norm"), "swa": ("start", "batch_norm")},
}


def unread(settings: Settings) -> Iterator[str]:
    """Yield settings, as `key = value (for whom)`, that were changed and that the chosen optimizer or the like ignores.

    >>> list(unread(Settings(schedule={"name": "cosine", "warmup": 0.1}, optimizer={"name": "adamw", "momentum": 0.8})))
    ['optimizer.momentum = 0.8 (sgd)', 'schedule.warmup = 0.1 (one_cycle)']
    """
    yield from _ignored({"optimizer": settings.optimizer, "schedule": settings.schedule, "average": settings.average})
    if not settings.awp.gamma and settings.awp.warmup:
        yield f"awp.warmup = {settings.awp.warmup} (awp.gamma)"
    for name, guide in settings.guides.items():
        own = {"optimizer": guide.optimizer, "schedule": guide.schedule}
        for each in _ignored({key: table for key, table in own.items() if table is not None}):
            yield f"guides.{name}.{each}"


def _ignored(tables: Mapping[str, Any]) -> Iterator[str]:
    for name, table in tables.items():
        readers = _READERS[name]
        for key in dict.fromkeys(key for keys in readers.values() for key in keys):
            value, who = getattr(table, key), [reader for reader, keys in readers.items() if key in keys]
            if table.name not in who and value != type(table).model_fields[key].default:
                yield f"{name}.{key} = {value} ({', '.join(who)})"


def _of_schedule(schedule: ScheduleSettings, path: str, epochs: int) -> Iterator[str]:
    late = [f"{each:g}" for each in schedule.milestones if each >= epochs]
    if schedule.name == "piecewise" and late:
        yield f"{path}schedule.milestones {', '.join(late)}"
    if schedule.warmup_epochs >= epochs:
        yield f"the peak after {path}schedule.warmup_epochs = {schedule.warmup_epochs:g}"
    if schedule.name == "cosine" and schedule.start >= epochs:
        yield f"{path}schedule.start = {schedule.start:g}"
