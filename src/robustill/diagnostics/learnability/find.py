"""Finding the robustly unlearnable set: every reference attacks itself on every training image."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import CW, FGSM, PGD, eval_mode, named_attack
from robustill.attacks.threat import Norm
from robustill.data import Data
from robustill.diagnostics.learnability.scores import Learnability
from robustill.errors import InputError
from robustill.evaluation.campaign import Campaign
from robustill.evaluation.request import Request, prepare
from robustill.evaluation.runner import Runner
from robustill.evaluation.shards import gather, is_first, part
from robustill.evaluation.view import Precision
from robustill.losses import probabilities
from robustill.models import model_digest
from robustill.training.networks import check_given

PEAK = "best robust accuracy on the validation split"


def unlearnable(
    references: Mapping[str, nn.Module],
    data: Data,
    attack: str = "pgd10",
    *,
    eps: float,
    norm: Norm = "Linf",
    images: int | None = None,
    teachers: Mapping[str, nn.Module] | None = None,
    checkpoint_rule: str = PEAK,
    batch_size: int = 256,
    seed: int = 0,
    precision: Precision = "float32",
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Learnability:
    """Return which training images the reference models get wrong under attack, and which they get right.

    The references are models of the student's architecture at their robust peak: one that has begun to overfit has
    memorised what cannot be learned, and gets it right. They are in eval mode, each is attacked by itself, the images
    are those of the training split in its order, without augmentation. As in `evaluate`, an image that is wrong
    without a perturbation is wrong under attack, and each image has its own random draws. Started by `torchrun` or
    `accelerate launch`, the processes share the images and all return the whole result.

    Args:
        references: Models by name; what stands before a "/" is the group of a reference, such as its method.
        data: Its training split is read.
        attack: Name as in `named_attack`.
        eps: Radius in pixel units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        images: Only so many, as many of each class, drawn by `seed`; all when None.
        teachers: Asked for the class they see, where labels may be wrong.
        checkpoint_rule: How the references' weights were chosen; kept with the result.
        batch_size: Images per batch; verdicts do not depend on it.
        seed: Seed of the random starts.
        precision: Of the folded copy that is attacked; each verdict is the model's own, in float32.
        device: Where to compute; where each model is when None.
        out: Folder in which the verdicts of each reference are kept; a run that was cut off goes on where it was.
        progress: Show a bar with an ETA for each reference.

    Raises:
        InputError: No references, an unknown attack, an impossible radius or number of images.
        ModelError: A model does not fit the data.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> references = {f"net/{k}": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval() for k in range(2)}
    >>> found = unlearnable(references, data, "fgsm", eps=0.1, progress=False)
    >>> found.score.shape, int(found.score.max()) <= 2
    (torch.Size([54]), True)
    """
    check_given(data, {**references, **(teachers or {})})
    if not references:
        raise InputError("there are no reference models", "give at least one, of the student's architecture")
    request = Request(eps, norm, (attack,), "train", images, (), precision, batch_size, seed, None)
    digests = {name: model_digest(model) for name, model in references.items()}
    verdicts, votes, belief, index = list[Tensor](), list[Tensor](), torch.zeros(0), torch.zeros(0)
    for number, (name, model) in enumerate(references.items(), 1):
        if progress and is_first():
            sys.stderr.write(f"reference {name} ({number} of {len(references)})\n")
        campaign = _campaign(request, model, data, device, Path(out) if out is not None else None, progress)
        verdicts.append(_verdicts(campaign, attack))
        classes, p = _seen(campaign.run)
        votes.append(classes)
        belief, index = (p if number == 1 else belief + p), campaign.run.index
    labels = data.train.labels[index]
    clean = {name: float((vote == labels).double().mean()) for name, vote in zip(references, votes, strict=True)}
    for model in (teachers or {}).values():
        votes.append(_seen(_campaign(request, model, data, device, None, progress).run)[0])
    return Learnability(
        right=torch.stack(verdicts),
        agreed=_agreed(torch.stack(votes)),
        belief=belief / len(references),
        labels=labels,
        index=index,
        rows=data.train.indices[index],
        references=tuple(references),
        about={
            "data": data.name, "data_digest": data.digest, "class_names": list(data.class_names), "split": "train",
            "train_images": len(data.train), "eps": eps, "norm": norm, "attack": attack, "seed": seed,
            "precision": precision, "augmentation": "none", "mode": "eval", "checkpoint_rule": checkpoint_rule,
            "reference_digests": digests, "reference_clean_accuracy": clean, "teachers_asked": list(teachers or {}),
        },
    )  # fmt: skip


def _campaign(
    request: Request, model: nn.Module, data: Data, device: Any, out: Path | None, progress: bool
) -> Campaign:
    place = torch.device(device) if device is not None else next(model.parameters()).device
    about = [*request.about(model, data).values(), request.eps, request.norm, request.images]
    key = hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()
    folder = None if out is None else out / key
    # The attack is no part of the key: the store keeps several under their names.
    shard = part(place)
    show = progress and shard[0] == 0
    return prepare(replace(request, out=folder), model.to(place), data, None, place, shard, show=show)


def _verdicts(campaign: Campaign, name: str) -> Tensor:
    """Return where the model stays right, bool `[n]`, as all processes find it together."""
    attack, run = campaign.plans[name], campaign.run
    simple = isinstance(attack, PGD | FGSM | CW)
    if simple:
        run.clean()
        # Crafted on the folded copy, judged on the model itself.
        run.attack(name, attack, source=run.view())
    else:
        campaign.attack()
    shard = part(run.device)
    gather(run.store, shard[1])
    if shard[0] == 0:
        run.store.merge()
    return run.verdicts(name) if simple else campaign.verdicts()[name]


def _seen(run: Runner) -> tuple[Tensor, Tensor]:
    """Return the class that a model sees without an attack, int64 `[n]`, and its probability of the label, `[n]`."""
    classes, belief = [], []
    with eval_mode(run.model), torch.no_grad():
        for at in torch.split(torch.arange(len(run.index)), run.batch_size):
            x, y = run.examples(at)
            p = probabilities(run.model(x))
            classes.append(p.argmax(1).cpu())
            belief.append(p.gather(1, y[:, None]).squeeze(1).cpu())
    return torch.cat(classes), torch.cat(belief)


def _agreed(votes: Tensor) -> Tensor:
    return torch.where((votes == votes[0]).all(0), votes[0], -1)


def check_attack(name: str, eps: float, norm: Norm) -> None:
    """Check an attack and its radius before anything is trained.

    Raises:
        InputError: An unknown attack or norm, or a radius outside [0, 1] for Linf.
    """
    named_attack(name, eps=eps, norm=norm)
    if norm == "Linf" and not 0 <= eps <= 1:
        raise InputError(
            f"eps is {eps:g}; a pixel of [0, 1] cannot change by more than 1", "write 8/255 for 8 gray levels"
        )
