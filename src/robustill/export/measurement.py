"""The robustness of exported files: examples made on the network, and an attack that needs logits alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustill.attacks import Square, adversarial_points, correct, named_attack, run_search
from robustill.attacks.threat import Norm
from robustill.data import Data, Split
from robustill.data.splits import to_unit
from robustill.errors import InputError
from robustill.evaluation import Evaluation, balanced
from robustill.evaluation.store import example_generators
from robustill.progress import bar

NETWORK, SQUARE, TRANSFER = "network", "square", "transfer-"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How to measure what was exported.

    Args:
        attacks: Names as in `named_attack`; made on the network as `evaluate` makes them, tried on every file.
        queries: Of Square, which attacks each file by its own logits; 0 leaves it out.
        images: Only so many, as many of each class, drawn by `seed`.
        split: `"test"`, `"validation"` or `"train"`.
        batch_size: Images per batch.
        seed: Seed of the images and of all random draws.

    Raises:
        InputError: An unknown attack, or an impossible number.

    >>> Measurement(attacks=("fgsm",), queries=0, images=100).split
    'test'
    """

    attacks: tuple[str, ...] = ("pgd20", "cw")
    queries: int = 1000
    images: int = 500
    split: str = "test"
    batch_size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.attacks:
            if name == SQUARE:
                raise InputError("square needs no network to be made on: it always attacks the files", "use queries")
            named_attack(name, eps=1.0)
        for what, value, least in (("queries", self.queries, 0), ("images", self.images, 1), ("seed", self.seed, 0),
                                   ("batch_size", self.batch_size, 1)):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{what} is {value!r}; it must be a number of {least} or more")
        if not self.attacks and not self.queries:
            raise InputError("there is nothing to measure", "name an attack, or give queries")


@dataclass(frozen=True)
class Examples:
    """Images of a split with their labels and positions there, all `[n, ...]`."""

    x: Tensor
    y: Tensor
    positions: Tensor

    def draws(self, stage: str, seed: int) -> list[torch.Generator]:
        """Return a generator per image, the one that `evaluate` gives it in this stage."""
        return example_generators(seed, stage, self.positions.tolist())


def examples(data: Data, how: Measurement) -> Examples:
    """Return the images that `evaluate` takes for the same split, number and seed.

    Raises:
        InputError: There is no such split.
    """
    splits: dict[str, Split | None] = {"train": data.train, "validation": data.validation, "test": data.test}
    split = splits.get(how.split)
    if split is None:
        raise InputError(f"{data.name} has no split {how.split!r}", "choose test, validation or train")
    at = balanced(split.labels, how.images, how.seed)
    return Examples(to_unit(split.images(at)).cpu(), split.labels[at], at)


def measure(
    network: nn.Module,
    files: Mapping[str, nn.Module],
    chosen: Examples,
    *,
    eps: float,
    norm: Norm,
    how: Measurement,
    progress: bool = True,
) -> dict[str, Evaluation]:
    """Attack a network and its files; return the verdicts of each, the network's under `"network"`.

    The network's attacks see its gradients. A file gets the very same examples, as `transfer-NAME`, and is attacked
    by Square through its own logits, with the random draws that the network's has. An image that is wrong without an
    attack is wrong under every one.

    Args:
        network: Maps images to logits, with gradients.
        files: By name; maps images to logits.
        chosen: Images and labels.
        eps: Radius in pixel units.
        norm: `"Linf"` or `"L2"`.
        how: Attacks and sizes.
        progress: Show a bar per attack.

    Raises:
        InputError: Images outside [0, 1], an impossible radius or norm.
    """
    every = {NETWORK: network, **files}
    found = {name: {"clean": _right(each, chosen.x, chosen.y, how.batch_size)} for name, each in every.items()}
    seconds: dict[str, dict[str, float]] = {name: {} for name in every}
    for attack in how.attacks:
        began = time.monotonic()
        points = _points(network, chosen, attack, eps, norm, how, progress)
        seconds[NETWORK][attack] = time.monotonic() - began
        for name, each in every.items():
            own = attack if name == NETWORK else TRANSFER + attack
            found[name][own] = found[name]["clean"] & _right(each, points, chosen.y, how.batch_size)
    for name, each in every.items() if how.queries else ():
        began = time.monotonic()
        search = Square(eps=eps, norm=norm, queries=how.queries)
        found[name][SQUARE] = _stands(name, each, chosen, found[name]["clean"], search, how, progress)
        seconds[name][SQUARE] = time.monotonic() - began
    return {name: Evaluation(found[name], eps, norm, seconds=seconds[name]) for name in every}


def _right(network: nn.Module, x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    batches = zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)
    return torch.cat([correct(network, *each) for each in batches])


def _points(
    network: nn.Module, chosen: Examples, name: str, eps: float, norm: Norm, how: Measurement, progress: bool
) -> Tensor:
    attack, draws, found = named_attack(name, eps=eps, norm=norm), chosen.draws(name, how.seed), []
    with bar(f"{name} on the network", len(chosen.y), show=progress) as shown:
        for at in torch.split(torch.arange(len(chosen.y)), how.batch_size):
            own = [draws[i] for i in at.tolist()]
            found.append(adversarial_points(network, chosen.x[at], chosen.y[at], attack, generator=own))
            shown.advance(len(at))
    return torch.cat(found)


def _stands(
    name: str, network: nn.Module, chosen: Examples, clean: Tensor, search: Square, how: Measurement, progress: bool
) -> Tensor:
    """Return where the prediction of a network stays right under Square, bool `[n]`."""
    standing, draws = clean.clone(), chosen.draws(SQUARE, how.seed)
    todo = clean.nonzero().flatten()
    with bar(f"{SQUARE} on {name}", len(todo), show=progress) as shown:
        # Square fills its batch with several queries of one image, so that smaller ones cost no more.
        for at in torch.split(todo, max(how.batch_size // 4, 1)):
            own = [draws[i] for i in at.tolist()]
            fallen, _ = run_search(search, network, chosen.x[at], chosen.y[at], own, batch_size=how.batch_size)
            standing[at] = ~fallen
            shown.advance(len(at))
            shown.note(f"{int(standing.sum())} of {len(todo)} stand or wait")
    return standing
