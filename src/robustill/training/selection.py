"""Which epoch's student is kept: judged on the validation split, with draws that do not touch the training's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, correct, eval_mode, stays_correct
from robustill.attacks.share import sharing
from robustill.data import Data, Split
from robustill.errors import InputError
from robustill.methods.base import AdversarialMethod, Method
from robustill.methods.ramp import Ramped
from robustill.training.processes import Processes
from robustill.training.settings import Settings
from robustill.training.watched import Watched

_BATCH = 512


class Selection:
    """Remembers the best epoch so far in `best` (empty until one was judged).

    Several processes share the images, and all come to the same scores.
    """

    def __init__(self, method: Method, data: Data, settings: Settings, processes: Processes | None = None) -> None:
        self.processes = processes
        self.metric = settings.selection.metric
        if self.metric == "auto":
            ramped = any(isinstance(module, Ramped) for module in method.modules())
            self.metric = "last" if ramped else "robust" if isinstance(method, AdversarialMethod) else "clean"
        self.attack = _attack(method, settings)
        if self.metric in ("robust", "wra") and self.attack is None:
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
        scores = self._judge(model, self.split)
        better = not self.best or self.metric == "last" or scores[self.metric] > self.best[self.metric]
        if better:
            self.best = {"epoch": epoch, "metric": self.metric, **scores}
        return scores, better

    def probe(self, method: Method, model: nn.Module) -> dict[str, dict[str, float]]:
        """Return `{"probe": shares}` of the method's own verdicts on the validation split; empty if it has none.

        Args:
            method: Judges.
            model: Takes the student's place: the averaged one, where there is one.
        """
        if self.split is None or self.attack is None:
            return {}
        generator = torch.Generator().manual_seed(self.settings.seed)
        sums: dict[str, float] = {}
        with _as_student(method, model), eval_mode(method):
            for x, y in self.split.batches(_BATCH, device=self.device):
                verdicts, counted = self._probed(method, self.attack, x, y, generator)
                if not verdicts:
                    return {}
                sums = {name: sums.get(name, 0) + counted * int(right.sum()) for name, right in verdicts.items()}
        return {"probe": {name: _over(value, self.processes) / len(self.split) for name, value in sums.items()}}

    def _probed(
        self, method: Method, attack: PGD, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], float]:
        """Return the verdicts on this process's share of a batch, and how often each counts."""
        share = None if self.processes is None else self.processes.share(len(x))
        if share is None:
            return method.probe(x, y, attack, generator), 1
        own = slice(share.start, share.stop)
        with sharing(share):
            return method.probe(x[own], y[own], attack, generator), share.counted

    def watch(self, model: nn.Module) -> dict[str, Any]:
        """Return `{"overfitting": {"validation_images": ..., "train": scores and size by group}}`; empty if off."""
        if self.split is None or not self.watched.groups:
            return {}
        train = {name: {"images": len(part), **self._judge(model, part)} for name, part in self.watched.groups.items()}
        return {"overfitting": {"validation_images": len(self.split), "train": train}}

    def _judge(self, model: nn.Module, split: Split) -> dict[str, float]:
        where = {"device": self.device, "seed": self.settings.seed}
        return judge(model, split, self.attack, **where, processes=self.processes)  # type: ignore[arg-type]


@contextmanager
def _as_student(method: Method, model: nn.Module) -> Iterator[None]:
    """Put `model` in the place of the student, wherever in `method` that is, for the block."""
    student = method.student
    places = [(part, name) for part in method.modules() for name, each in part._modules.items() if each is student]
    try:
        for part, name in places:
            setattr(part, name, model)
        yield
    finally:
        for part, name in places:
            setattr(part, name, student)


def judge(
    model: nn.Module,
    split: Split,
    attack: PGD | None,
    *,
    device: torch.device,
    seed: int,
    processes: Processes | None = None,
) -> dict[str, float]:
    """Return `{"clean": ..., "robust": ..., "wra": ...}` accuracies of `model` on `split`, in float32.

    Without an attack, only `clean`. The random start is drawn from `seed` alone, so that epochs compare. Of several
    processes, each attacks its share of what is right without an attack; all return the same.

    >>> import torch
    >>> from robustill.attacks import PGD
    >>> from robustill.data import load_data
    >>> from robustill.models import build_model
    >>> split = load_data("digits", limit=60).test
    >>> model = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    >>> attack = PGD(eps=0.1, step_size=0.05, steps=2)
    >>> sorted(judge(model, split, attack, device=torch.device("cpu"), seed=0))
    ['clean', 'robust', 'wra']
    """
    generator = torch.Generator().manual_seed(seed)
    right, standing = 0, 0.0
    for x, y in split.batches(_BATCH, device=device):
        clean = correct(model, x, y)
        right += int(clean.sum())
        if attack is not None and bool(clean.any()):
            standing += _standing(model, x[clean], y[clean], attack, generator, processes)
    scores = {"clean": right / len(split)}
    if attack is not None:
        robust = _over(standing, processes)
        scores |= {"robust": robust / len(split), "wra": (right + robust) / (2 * len(split))}
    return scores


def _standing(
    model: nn.Module, x: Tensor, y: Tensor, attack: PGD, generator: torch.Generator, processes: Processes | None
) -> float:
    share = None if processes is None else processes.share(len(x))
    if share is None:
        return int(stays_correct(model, x, y, attack, generator=generator).sum())
    own = slice(share.start, share.stop)
    with sharing(share):
        return share.counted * int(stays_correct(model, x[own], y[own], attack, generator=generator).sum())


def _over(count: float, processes: Processes | None) -> int:
    """Return the number of images in all processes."""
    return round(count if processes is None else processes.sum(count))


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
