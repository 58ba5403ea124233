"""Reference models: the student's architecture, adversarially trained from several seeds to its robust peak."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from robustill.data import Data
from robustill.errors import InputError
from robustill.methods.base import AdversarialMethod, Method
from robustill.models import model_digest
from robustill.training import Interrupted, Settings, train
from robustill.training.checkpoint import has_checkpoint
from robustill.training.hyperparameters import hyperparameters, same_each_time
from robustill.training.networks import teacher_digests


def train_references(
    build: Callable[[int], Method],
    data: Data,
    settings: Settings,
    *,
    seeds: Sequence[int] = (0,),
    group: str = "pgd_at",
    out: str | Path | None = None,
    progress: bool = True,
) -> dict[str, nn.Module]:
    """Train one reference per seed; return the students that the validation split selected, as `{"group/seed": ...}`.

    Args:
        build: From a seed to a method with a fresh student, the same for the same seed.
        data: Its training split is learned, its validation split chooses the epoch.
        settings: How to train; each reference gets its own seed.
        seeds: One reference each.
        group: Name of the references' kind.
        out: Folder; a reference lies in `references/GROUP-SEED-KEY` under it, where the key is made of everything that
            decides its weights, so that a later call finds it. One that was cut off goes on where it was.
        progress: Show a bar with an ETA for each.

    Raises:
        InputError: No seeds, or two equal ones; no validation split to find the peak on; a method without an adversary.
        RobustillError: As `train`.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> from robustill.attacks import PGD
    >>> from robustill.methods import PGDAT
    >>> from robustill.training import Settings
    >>> def build(seed):
    ...     net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    ...     return PGDAT(net, attack=PGD(eps=0.1, step_size=0.1, steps=1))
    >>> list(train_references(build, data, Settings(epochs=1), seeds=(0, 1), progress=False))
    ['pgd_at/0', 'pgd_at/1']
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"the references' seeds are {list(seeds)}", "give one or more, all different")
    if data.validation is None:
        raise InputError(
            "references are stopped at their robust peak, but there is no validation split to find it on",
            "hold some images out: data.validation = 0.1",
        )
    found: dict[str, nn.Module] = {}
    for seed in seeds:
        method = build(seed)
        if not isinstance(method, AdversarialMethod):
            raise InputError(f"{type(method).__name__} has no adversary", "references are trained adversarially")
        own = settings.model_copy(update={"seed": seed})
        folder = None if out is None else Path(out) / "references" / f"{group}-{seed}-{_key(method, data, own)}"
        resume = folder is not None and has_checkpoint(folder)
        try:
            result = train(method, data, own, out=folder, resume=resume, progress=progress)
        except Interrupted as error:
            # The run's own message speaks of an option that only `train` has.
            raise Interrupted(f"stopped at reference {group}/{seed}; the same command goes on from there") from error
        found[f"{group}/{seed}"] = result.student
    return found


def _key(method: AdversarialMethod, data: Data, settings: Settings) -> str:
    own = {key: repr(value) for key, value in hyperparameters(method).items() if value is not None and key != "attack"}
    defines: dict[str, Any] = {
        "start": model_digest(method.student),
        "method": type(method).__name__,
        # "training" decides nothing, but earlier versions had it here and their references are to be found.
        "own": {"training": "True", **own},
        "attack": same_each_time(method.attack),
        # Where it computes does not decide what it computes; a checkpoint refuses any other change.
        "settings": settings.model_dump(mode="json", exclude={"device", "spread_teachers", "compile"}),
        "data": data.digest,
        "augment": same_each_time(data.augment),
        "teachers": teacher_digests(method),
    }
    return hashlib.blake2b(json.dumps(defines, sort_keys=True).encode(), digest_size=8).hexdigest()
