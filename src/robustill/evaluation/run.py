"""Robust accuracy: the attacks in turn, the numbers, and whether they can be believed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import named_attack
from robustill.attacks.threat import Norm
from robustill.data import Data, Split
from robustill.errors import InputError
from robustill.evaluation.campaign import Campaign
from robustill.evaluation.result import Evaluation
from robustill.evaluation.runner import Runner
from robustill.evaluation.shards import gather, part
from robustill.evaluation.store import VerdictStore
from robustill.evaluation.subset import balanced
from robustill.evaluation.trust import trust
from robustill.evaluation.view import Precision, view_of
from robustill.models import model_digest
from robustill.training.networks import check_network


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    eps: float,
    norm: Norm = "Linf",
    attacks: Sequence[str] = ("fgsm", "pgd20", "cw"),
    split: str = "test",
    images: int | None = None,
    eps_grid: Sequence[float] = (),
    transfer_from: nn.Module | None = None,
    checks: bool = True,
    precision: Precision = "auto",
    batch_size: int = 256,
    seed: int = 0,
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Attack `model` on a split of `data` and return one verdict per example and attack.

    Every success is confirmed in float32 on `model` itself, in the ball, before it counts. Started by `torchrun` or
    `accelerate launch`, the processes share the images and all return the whole result.

    Args:
        model: Maps images `[B, C, H, W]` in [0, 1] to logits; evaluated in eval mode, left as it was.
        data: Its `split` (`"test"`, `"validation"` or `"train"`, without augmentation).
        eps: Radius in pixel units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        attacks: Names as in `named_attack`.
        split: Which part of the data.
        images: Only so many, as many of each class, drawn by `seed`; all when None.
        eps_grid: Radii for a curve of the worst case over `attacks`.
        transfer_from: Another model: each attack is also made on it and tried on `model`, as `transfer-NAME`.
        checks: Look for signs that the attacks were fooled (a few small attacks more).
        precision: What AutoAttack, APGD, FAB and Square search in: `"auto"`, `"float32"` or `"bfloat16"`.
        batch_size: Images per batch; verdicts do not depend on it, since each example has its own random draws.
        seed: Seed of the random draws.
        device: Where to compute; where the model is when None.
        out: Folder for `evaluation.json` and `verdicts.safetensors`; an evaluation that was cut off goes on where it
            was, inside an attack too, and a finished attack is not run again.
        progress: Show a bar with an ETA per attack, and what AutoAttack will cost.

    Raises:
        InputError: An unknown attack, split or precision, an impossible radius, batch size or number of images.
        ModelError: A model does not fit the data, or gives probabilities.
    """
    attacks = list(dict.fromkeys(attacks))
    if eps_grid and not attacks:
        raise InputError("a curve over radii needs an attack", "name one, such as pgd20")
    plans = {name: named_attack(name, eps=eps, norm=norm) for name in attacks}
    grid = {radius: [named_attack(name, eps=radius, norm=norm) for name in attacks] for radius in sorted(set(eps_grid))}
    chosen = _split(data, split)
    index = torch.arange(len(chosen)) if images is None else balanced(chosen.labels, images, seed)
    place = torch.device(device) if device is not None else next(model.parameters()).device
    shard = part(place)
    sample = _fitting({"model": model, "the surrogate": transfer_from}, data, chosen, batch_size, place)
    about: dict[str, Any] = {"seed": seed, "precision": precision}
    about |= {"data": data.name, "split": split, "data_digest": data.digest, "model_digest": model_digest(model)}
    settings = {**about, "format": 2, "eps": eps, "norm": norm, "index": _digest(index)}
    store = VerdictStore(Path(out) if out is not None else None, settings, len(index), shard)
    show = progress and shard[0] == 0
    own, view = torch.arange(len(index))[shard[0] :: shard[1]], view_of(model, precision, sample, tell=show)
    run = Runner(model, chosen, index, own, store, place, batch_size, seed, view, show)
    campaign = Campaign(run, data, plans, transfer_from, grid)
    campaign.attack()
    gather(store, shard[1])
    result = Evaluation(campaign.verdicts(), eps, norm, about, campaign.seconds(), **campaign.details())
    if checks:
        result = trust(result, run, data.num_classes)
    if shard[0] == 0:
        store.merge()
        if out is not None:
            _write_json(result.to_json(), Path(out) / "evaluation.json")
    return result


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


def _digest(index: Tensor) -> str:
    return hashlib.sha256(index.numpy().tobytes()).hexdigest()


def _write_json(values: dict[str, Any], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(values, indent=2) + "\n")
    os.replace(temporary, path)
