"""Which epoch's student is kept: judged on the validation split, with draws that do not touch the training's."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from robustill.attacks import PGD, correct, eval_mode, stays_correct
from robustill.data import Data, Split
from robustill.errors import InputError
from robustill.methods.base import AdversarialMethod, Method
from robustill.training.settings import Settings
from robustill.training.watched import Watched

_BATCH = 512


class Selection:
    """Remembers the best epoch so far in `best` (empty until one was judged)."""

    def __init__(self, method: Method, data: Data, settings: Settings) -> None:
        self.metric = settings.selection.metric
        if self.metric == "auto":
            self.metric = "robust" if isinstance(method, AdversarialMethod) else "clean"
        self.attack = _attack(method, settings)
        if self.metric != "clean" and self.attack is None:
            raise InputError(f"selection.metric = {self.metric!r} needs a radius above 0", "set selection.eps")
        self.split, self.settings = data.validation, settings
        self.watched = Watched(data, settings)
        if self.watched.groups and self.attack is None:
            raise InputError("overfitting.images are attacked, which needs a radius above 0", "set selection.eps")
        self.device = next(method.parameters()).device
        self.best: dict[str, Any] = {}

    def due(self, epoch: int) -> bool:
        """Return whether 0-based `epoch` is judged: every N epochs and at the end, if there is a validation split."""
        last = epoch + 1 == self.settings.epochs
        return self.split is not None and (last or (epoch + 1) % self.settings.selection.every == 0)

    def judge(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], bool]:
        """Return the validation scores of `model` and whether they are the best so far (ties keep the earlier)."""
        assert self.split is not None
        scores = judge(model, self.split, self.attack, device=self.device, seed=self.settings.seed)
        better = not self.best or scores[self.metric] > self.best[self.metric]
        if better:
            self.best = {"epoch": epoch, "metric": self.metric, **scores}
        return scores, better

    def probe(self, method: Method) -> dict[str, dict[str, float]]:
        """Return `{"probe": shares}` of the method's own verdicts on the validation split; empty if it has none."""
        if self.split is None or self.attack is None:
            return {}
        generator = torch.Generator().manual_seed(self.settings.seed)
        sums: dict[str, int] = {}
        with eval_mode(method):
            for x, y in self.split.batches(_BATCH, device=self.device):
                verdicts = method.probe(x, y, self.attack, generator)
                if not verdicts:
                    return {}
                sums = {name: sums.get(name, 0) + int(right.sum()) for name, right in verdicts.items()}
        return {"probe": {name: value / len(self.split) for name, value in sums.items()}}

    def watch(self, model: nn.Module) -> dict[str, Any]:
        """Return `{"overfitting": {"validation_images": ..., "train": scores and size by group}}`; empty if off."""
        if self.split is None or not self.watched.groups:
            return {}
        train = {
            name: {"images": len(part), **judge(model, part, self.attack, device=self.device, seed=self.settings.seed)}
            for name, part in self.watched.groups.items()
        }
        return {"overfitting": {"validation_images": len(self.split), "train": train}}


def judge(model: nn.Module, split: Split, attack: PGD | None, *, device: torch.device, seed: int) -> dict[str, float]:
    """Return `{"clean": ..., "robust": ..., "wra": ...}` accuracies of `model` on `split`, in float32.

    Without an attack, only `clean`. The random start is drawn from `seed` alone, so that epochs compare.
    """
    generator = torch.Generator().manual_seed(seed)
    right = robust = 0
    for x, y in split.batches(_BATCH, device=device):
        clean = correct(model, x, y)
        right += int(clean.sum())
        if attack is not None and bool(clean.any()):
            robust += int(stays_correct(model, x[clean], y[clean], attack, generator=generator).sum())
    scores = {"clean": right / len(split)}
    if attack is not None:
        scores |= {"robust": robust / len(split), "wra": (right + robust) / (2 * len(split))}
    return scores


def _attack(method: Method, settings: Settings) -> PGD | None:
    if isinstance(method, AdversarialMethod):
        eps, norm = method.attack.eps, method.attack.norm
    elif settings.selection.eps is not None:
        eps, norm = settings.selection.eps, "Linf"
    else:
        return None
    eps = settings.selection.eps if settings.selection.eps is not None else eps
    if eps == 0:
        return None
    return PGD(eps=eps, step_size=eps / 4, steps=settings.selection.steps, norm=norm)
