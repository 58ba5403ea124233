"""What an evaluation is asked for, and the campaign that follows from it, in this process or another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import named_attack
from robustill.attacks.threat import Norm
from robustill.data import Data, Split
from robustill.errors import InputError
from robustill.evaluation.campaign import Campaign
from robustill.evaluation.runner import Runner
from robustill.evaluation.store import VerdictStore
from robustill.evaluation.subset import balanced
from robustill.evaluation.view import Precision, view_of
from robustill.models import model_digest
from robustill.training.networks import check_network


@dataclass(frozen=True)
class Request:
    """Everything that `evaluate` takes and that decides verdicts, and where they go."""

    eps: float
    norm: Norm
    attacks: tuple[str, ...]
    split: str
    images: int | None
    eps_grid: tuple[float, ...]
    precision: Precision
    batch_size: int
    seed: int
    out: Path | None

    def about(self, model: nn.Module, data: Data) -> dict[str, Any]:
        """Return what `evaluation.json` says of the origin of its numbers."""
        return {
            "data": data.name, "split": self.split, "data_digest": data.digest, "model_digest": model_digest(model),
            "seed": self.seed, "precision": self.precision,
        }  # fmt: skip

    def question(self, model: nn.Module, data: Data) -> dict[str, Any]:
        """Return what `evaluation.json` will say of what was asked: origin, threat, number of images, attacks."""
        total = len(_split(data, self.split))
        return {
            **self.about(model, data), "threat": {"norm": self.norm, "eps": self.eps}, "attacks": list(self.attacks),
            "images": total if self.images is None else min(self.images, total),
        }  # fmt: skip


def prepare(
    request: Request,
    model: nn.Module,
    data: Data,
    surrogate: nn.Module | None,
    place: torch.device,
    shard: tuple[int, int],
    *,
    show: bool,
) -> Campaign:
    """Return the campaign of one of `shard[1]` processes.

    Raises:
        InputError: Something that was asked for is impossible.
        ModelError: A model does not fit the data.
    """
    plans, grid = _attacks(request)
    split = _split(data, request.split)
    count = request.images
    index = torch.arange(len(split)) if count is None else balanced(split.labels, count, request.seed)
    sample = _fitting({"model": model, "the surrogate": surrogate}, data, split, request.batch_size, place)
    settings = {**request.about(model, data), "format": 2, "eps": request.eps, "norm": request.norm}
    settings["index"] = hashlib.sha256(index.numpy().tobytes()).hexdigest()
    store = VerdictStore(request.out, settings, len(index), shard)
    own = torch.arange(len(index))[shard[0] :: shard[1]]
    view = view_of(model, request.precision, sample, tell=show)
    run = Runner(model, split, index, own, store, place, request.batch_size, request.seed, view, show)
    return Campaign(run, data, plans, surrogate, grid)


def _attacks(request: Request) -> tuple[dict[str, Any], dict[float, list[Any]]]:
    if request.eps_grid and not request.attacks:
        raise InputError("a curve over radii needs an attack", "name one, such as pgd20")

    def at(radius: float) -> dict[str, Any]:
        return {name: named_attack(name, eps=radius, norm=request.norm) for name in request.attacks}

    return at(request.eps), {radius: list(at(radius).values()) for radius in sorted(set(request.eps_grid))}


def _fitting(
    networks: dict[str, nn.Module | None], data: Data, split: Split, batch_size: int, place: torch.device
) -> Tensor:
    """Check the networks on a few images, and return these."""
    x, _ = next(iter(split.batches(batch_size, device=place)))
    for name, network in networks.items():
        if network is not None:
            check_network(name, network.to(place), x[:2], data)
    return x[:32]


def _split(data: Data, name: str) -> Split:
    found = {"train": data.train, "validation": data.validation, "test": data.test}.get(name)
    if found is None:
        raise InputError(f"{data.name} has no split {name!r}", "choose test, validation or train")
    return found
