"""The networks and images that a bracket is about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustill.certification import Bounder
from robustill.certification.smoothing_noise import check_mode
from robustill.data import Data, Split
from robustill.data.splits import to_unit
from robustill.errors import InputError, ModelError
from robustill.evaluation import balanced
from robustill.evaluation.shards import part
from robustill.models import Frozen, model_digest
from robustill.training.networks import check_network


@dataclass(frozen=True)
class Subject:
    """Some images of a split, and networks on one device.

    Args:
        networks: By their role, such as student and teacher.
        split: Where the images are.
        index: Positions in the split, int64 `[n]`.
        about: What results depend on: digests of data and networks, split, images.
        shard: The number of this process, of those that a launcher started, and how many there are.
    """

    networks: Mapping[str, nn.Module]
    split: Split
    index: Tensor
    about: dict[str, Any]
    shard: tuple[int, int] = (0, 1)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels(self) -> Tensor:
        """int64 `[n]` on the CPU."""
        return self.split.labels[self.index]

    def examples(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images `[k, ...]` and labels `[k]` at `at` (0..n-1), as the first network wants them."""
        like = next(next(iter(self.networks.values())).parameters())
        positions = self.index[at]
        x = to_unit(self.split.images(positions).to(like.device)).to(like.dtype)
        return x, self.split.labels[positions].to(like.device)


def subject(
    networks: Mapping[str, nn.Module], data: Data, split: str, images: int | None, seed: int, device: str | None
) -> Subject:
    """Check that the networks and the data fit together and return them.

    Raises:
        InputError: No such split, an impossible number of images, or a network in train mode.
        ModelError: A network does not fit the data, or knows other classes or another order of them.
    """
    found = {"train": data.train, "validation": data.validation, "test": data.test}.get(split)
    if found is None:
        raise InputError(f"{data.name} has no split {split!r}", "choose test, validation or train")
    index = torch.arange(len(found)) if images is None else balanced(found.labels, images, seed)
    place = torch.device(device) if device is not None else next(next(iter(networks.values())).parameters()).device
    shard = part(place)
    for name, network in networks.items():
        check_mode(name, network)
        _check_classes(name, network, data)
        network.to(place)
    chosen = Subject(networks, found, index, {}, shard)
    sample, _ = chosen.examples(torch.arange(min(2, len(index))))
    for name, network in networks.items():
        check_network(name, network, sample, data)
        chosen.about[f"{name}_digest"] = model_digest(network)
    chosen.about.update(data=data.name, data_digest=data.digest, split=split)
    chosen.about["drawn"] = hashlib.sha256(index.numpy().tobytes()).hexdigest()
    return chosen


def check_boundable(chosen: Subject, norm: str) -> None:
    """Raise `ModelError` at once, and not after an hour of attacks, if a network cannot be bounded."""
    x, _ = chosen.examples(torch.zeros(1, dtype=torch.int64))
    for name, network in chosen.networks.items():
        try:
            with torch.no_grad():
                Bounder(network, x, 0.0, "ibp", norm).margins()
        except ModelError as error:
            still = "without certificates, it can still be attacked: --bounds none"
            hint = f"{error.hint}; {still}" if error.hint else still
            raise ModelError(f"the {name} cannot be bounded: {error.message}", hint) from error


def same_function(first: nn.Module, second: nn.Module) -> bool:
    """Return whether two networks are one, or built alike of known layers with the same weights."""
    one, other = (each.network if isinstance(each, Frozen) else each for each in (first, second))
    if one is other:
        return True
    # A certificate follows from this, and the code of other layers may read what no digest knows.
    known = all(type(each).__module__.startswith(("torch.", "robustill.")) for each in one.modules())
    return known and repr(one) == repr(other) and model_digest(one) == model_digest(other)


def _check_classes(name: str, network: nn.Module, data: Data) -> None:
    network = network.network if isinstance(network, Frozen) else network
    names = getattr(network, "class_names", None)
    if names is None or tuple(names) == data.class_names:
        return
    if set(names) != set(data.class_names):
        odd = next((each for each in (*names, *data.class_names) if (each in names) != (each in data.class_names)), "?")
        raise ModelError(
            f"the {name} was trained on other classes than {data.name} has: {odd!r} is known to one of them only",
            "compare networks that were trained on the same classes, on their data",
        )
    moved = next(each for each, other in zip(names, data.class_names, strict=True) if each != other)
    raise ModelError(
        f"the {name} has the classes of {data.name} in another order: {moved!r} is number {list(names).index(moved)} "
        f"for it and {data.class_names.index(moved)} in the data",
        "reorder the rows of its last layer",
    )
