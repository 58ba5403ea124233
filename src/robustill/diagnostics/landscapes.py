"""How the adversarial loss rises around the weights of trained networks: curves, planes and a number for flatness."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.attacks.threat import Norm
from robustill.data import Data
from robustill.diagnostics.landscape_run import grid, measured
from robustill.diagnostics.landscape_walk import Adversary, Walk
from robustill.errors import DataError, InputError, nearest
from robustill.evaluation.subset import balanced
from robustill.models import model_digest
from robustill.progress import bar
from robustill.training.networks import check_given, check_network
from robustill.writing import make_folder, write_whole

_FORMAT = "robustill-landscape/1"
_KEPT = "eval mode: statistics of the trained weights, not re-estimated"
_DIRECTIONS = "Gaussian, normalised by filter; biases and normalisation layers do not move"


def landscape(
    networks: Mapping[str, nn.Module],
    data: Data,
    *,
    eps: float,
    norm: Norm = "Linf",
    steps: int = 10,
    adversary: Adversary = "regenerated",
    radius: float = 1.0,
    points: int = 21,
    directions: int = 5,
    plane: int = 0,
    flatness_at: float | None = None,
    split: str = "train",
    images: int = 500,
    batch_size: int = 256,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Return adversarial losses `g(r)` at the weights `w + r d` of each network, for several random directions d.

    Directions are filter-normalised, and the same for all networks of one architecture before that. The mean rise
    `(g(r) + g(-r)) / 2 - g(0)` at one radius is the flatness: small is flat. Distances are relative to the weights, so
    that networks compare. A loss rises less where logits are small, which says nothing of flatness: see whether the
    robust accuracy, which has no scale, falls less too.

    Args:
        networks: By the names they get in the figure.
        data: Where the images are from; not augmented.
        eps: Radius of the attack in pixel units.
        norm: `"Linf"` or `"L2"`.
        steps: PGD steps of a quarter of eps each, from a random start.
        adversary: `"regenerated"` at each point, or `"fixed"` at the trained weights: the latter makes any landscape
            look different, and the two do not compare.
        radius: Largest r; 1 is a direction as long as the weights.
        points: Points of each curve, odd, from -radius to radius.
        directions: Random directions.
        plane: Also a plane of `plane` x `plane` points along the first two directions, odd; 0: none.
        flatness_at: Radius of the flatness; moved to the nearest point of the curves. Half of `radius` when None.
        split: `"train"`, `"validation"` or `"test"`.
        images: How many, as many of each class.
        batch_size: Images per batch.
        seed: Draws images, directions and random starts.
        out: Folder of `landscape.json`, written after each network. Networks that are in it already, with the same
            weights, data and settings, are not computed again.
        progress: Show a bar with an ETA.

    Returns:
        What is written: `settings`, `radii` and, by name, `runs`: `loss` and `robust` accuracy at the trained weights,
        `curves` and `robust_curves` (one list per direction), `flatness` (`rise` of the loss and `robust_drop` of the
        accuracy, each with its mean, standard deviation over directions, standard error over images, and every
        direction's) and `plane`.

    Raises:
        InputError: An impossible setting, no such split, or a loss that is not finite.
        ModelError: A network that does not fit the data, or has nothing to move.
        DataError: `out` holds a damaged `landscape.json`.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> nets = {"net": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()}
    >>> found = landscape(nets, data, eps=0.1, steps=1, points=3, directions=2, images=20, progress=False)
    >>> len(found["runs"]["net"]["curves"])
    2
    """
    check_given(data, networks)
    _check(networks, points, plane, directions, radius, adversary)
    attack = PGD(eps=eps, step_size=eps / 4 if eps else 1.0, steps=steps, norm=norm)
    x, y = _examples(data, split, images, seed)
    for name, network in networks.items():
        check_network(name, network, x[:2].to(_device(network)), data)
    wanted = radius / 2 if flatness_at is None else flatness_at
    at = min((r for r in grid(radius, points) if r > 0), key=lambda r: abs(r - wanted))
    settings = {
        "data": data.name, "data_digest": data.digest, "split": split, "images": len(y), "eps": eps, "norm": norm,
        "steps": steps, "adversary": adversary, "radius": radius, "points": points, "directions": directions,
        "plane": plane, "flatness_at": at, "seed": seed, "batch_size": batch_size, "batch_norm": _KEPT,
        "directions_are": _DIRECTIONS,
    }  # fmt: skip
    return _looked(networks, x, y, attack, settings, None if out is None else Path(out) / "landscape.json", progress)


def _looked(
    networks: Mapping[str, nn.Module],
    x: Tensor,
    y: Tensor,
    attack: PGD,
    settings: dict[str, Any],
    file: Path | None,
    progress: bool,
) -> dict[str, Any]:
    """Look around every network that the file does not know yet, and write it after each."""
    radii, known = grid(settings["radius"], settings["points"]), _known(file, settings)
    digests = {name: model_digest(network) for name, network in networks.items()}
    runs = {name: known[digest] for name, digest in digests.items() if digest in known}
    per_run = 1 + settings["directions"] * (settings["points"] - 1) + max(0, settings["plane"] ** 2 - 1)
    label = f"landscape of {len(networks)} network{'s' * (len(networks) > 1)}"
    with bar(label, len(networks) * per_run, done=len(runs) * per_run, show=progress) as shown:
        for name in [name for name in networks if name not in runs]:
            network, began = networks[name], time.monotonic()
            place, shape = _device(network), {key: settings[key] for key in ("adversary", "batch_size", "seed")}
            shown.note(name)
            run = measured(Walk(network, x.to(place), y.to(place), attack, **shape), settings, radii, shown)
            runs[name] = {"digest": digests[name], **run, "seconds": round(time.monotonic() - began, 1)}
            _write(_content(settings, radii, runs, networks), file)
    return _content(settings, radii, runs, networks)


def _content(
    settings: dict[str, Any], radii: list[float], runs: dict[str, Any], order: Iterable[str]
) -> dict[str, Any]:
    in_order = {name: runs[name] for name in order if name in runs}
    return {"format": _FORMAT, "settings": settings, "radii": radii, "runs": in_order}


def _check(
    networks: Mapping[str, nn.Module], points: int, plane: int, directions: int, radius: float, adversary: str
) -> None:
    if not networks:
        raise InputError("there is no network to look around", "give at least one run")
    for name, value, least in (("points", points, 3), ("plane", plane or 3, 3)):
        if value < least or value % 2 == 0:
            raise InputError(
                f"{name} = {value}: the trained weights must be the middle", "give an odd number from 3 on"
            )
    if adversary not in get_args(Adversary):
        raise InputError(f"there is no adversary {adversary!r}", nearest(adversary, get_args(Adversary)))
    if directions < 1 or not 0 < radius < math.inf:
        raise InputError(f"directions = {directions}, radius = {radius}", "give one direction or more, radius above 0")


def _examples(data: Data, split: str, images: int, seed: int) -> tuple[Tensor, Tensor]:
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    part = parts.get(split)
    if part is None:
        there = [name for name, each in parts.items() if each is not None]
        raise InputError(f"{data.name} has no split {split!r}", nearest(split, there))
    chosen = balanced(part.labels, images, seed)
    return part.images(chosen).float() / 255, part.labels[chosen]


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _known(file: Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a file knows of networks under the same settings, by digest."""
    if file is None or not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["format"] != _FORMAT:
            raise ValueError(f"format {found['format']!r}")
        return {run["digest"]: run for run in found["runs"].values()} if found["settings"] == settings else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{file} holds no landscape: {error}", "move it away, or choose another folder") from error


def _write(found: dict[str, Any], file: Path | None) -> None:
    if file is None:
        return
    make_folder(file.parent)
    write_whole(file, [(json.dumps(found, indent=1, allow_nan=False) + "\n").encode()])
