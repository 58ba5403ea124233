"""All the attacks of one evaluation: on the model, borrowed from another one, and over a grid of radii."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import Attack, AutoAttack, Search
from robustill.data import Data
from robustill.evaluation.breakdown import Curve
from robustill.evaluation.cost import announce
from robustill.evaluation.runner import CHAIN, Runner
from robustill.models import model_digest

TRANSFER = "transfer-"


class Campaign:
    """Runs what was asked for, and reads the numbers from the store.

    Args:
        run: Attacks the model, stage by stage.
        data: For the names of its classes.
        plans: Attacks by name.
        surrogate: Another model that the attacks are also made on.
        grid: For each radius, the attacks of `plans` with that radius.

    Raises:
        InputError: An attack does not exist for so few classes.
    """

    def __init__(
        self,
        run: Runner,
        data: Data,
        plans: Mapping[str, Attack],
        surrogate: nn.Module | None,
        grid: Mapping[float, Sequence[Attack]],
    ) -> None:
        self.run, self.data, self.plans, self.surrogate, self.grid = run, data, plans, surrogate, grid
        self._check()
        self._stages: dict[str, list[str]] = {}
        self._radii: dict[float, list[str]] = {}

    def attack(self) -> None:
        """Run everything that has no verdict yet."""
        self.run.clean()
        for name, attack in self.plans.items():
            self._stages[name] = self._one(name, attack)
        if self.surrogate is not None:
            # Verdicts on disk may come from another surrogate.
            origin = model_digest(self.surrogate)[:12]
            for name, attack in self.plans.items():
                key = f"{TRANSFER}{name}/{origin}"
                self.run.attack(key, attack, source=self.surrogate)
                self._stages[TRANSFER + name] = [key]
        before = "clean"
        for radius, attacks in self.grid.items():
            keys = []
            for name, attack in zip(self.plans, attacks, strict=True):
                # What was run before decides which images are left, so it is part of the key.
                chain = hashlib.blake2b(before.encode(), digest_size=4).hexdigest()
                keys += self._one(f"{name}@{radius!r}", attack, before, chain=f"{CHAIN}{chain}")
                before = keys[-1]
            self._radii[radius] = keys

    def _check(self) -> None:
        for attack in self.plans.values():
            if isinstance(attack, Search):
                attack.check_classes(self.data.num_classes)
            elif isinstance(attack, AutoAttack):
                attack.stages(self.data.num_classes)

    def _one(self, name: str, attack: Attack, before: str = "clean", *, chain: str = "") -> list[str]:
        """Run an attack; return the stages of the store that hold its verdicts, the last one those of the whole."""
        if not isinstance(attack, AutoAttack):
            self.run.attack(name + chain, attack, before)
            return [name + chain]
        stages = attack.stages(self.data.num_classes)
        if not self.run.begun(f"{name}/{next(iter(stages))}{chain}"):
            announce(name, self.run, stages, before)
        keys = []
        for stage, searches in stages.items():
            keys.append(f"{name}/{stage}{chain}")
            self.run.searches(keys[-1], searches, before)
            before = keys[-1]
        return keys

    def verdicts(self) -> dict[str, Tensor]:
        """Return the verdicts without an attack and of each attack, bool `[n]`."""
        return {"clean": self.run.verdicts("clean")} | {
            name: self.run.verdicts(keys[-1]) for name, keys in self._stages.items()
        }

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage that was asked for; the store may know others."""
        asked = ["clean", *(key for keys in (*self._stages.values(), *self._radii.values()) for key in keys)]
        spent = self.run.store.seconds
        return {key.partition(CHAIN)[0]: spent[key] for key in asked if key in spent}

    def details(self) -> dict[str, Any]:
        """Return what an `Evaluation` holds beside verdicts: stages of ensembles, labels, class names, curve."""
        stages = {
            name: {key.rpartition("/")[2]: self.run.verdicts(key) for key in keys}
            for name, keys in self._stages.items()
            if isinstance(self.plans.get(name), AutoAttack)
        }
        curve = None
        if self._radii:
            verdicts = torch.stack([self.run.verdicts(keys[-1]) for keys in self._radii.values()])
            curve = Curve(tuple(self._radii), verdicts, tuple(self.plans))
        labels = self.run.split.labels[self.run.index]
        return {"stages": stages, "labels": labels, "class_names": self.data.class_names, "curve": curve}
