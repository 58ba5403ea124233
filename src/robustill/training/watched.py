"""A fixed part of the training images, judged as the validation split is: what robust overfitting shows on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustill.data import Data, Split, TensorSplit
from robustill.data.order import Purpose, random_stream
from robustill.errors import InputError
from robustill.methods.soften_rows import read_rows
from robustill.training.settings import Settings


class Watched:
    """Training images without augmentation: one group `all`, or `learnable` and `unlearnable` ones.

    Args:
        data: The images are drawn from its training split, by the training seed, and kept in memory.
        settings: `overfitting` says how many, and which are unlearnable.

    Raises:
        InputError: There is no validation split to compare with, or there are no images in a group.
        DataError: A file of rows that cannot be read, or is of other data.
    """

    def __init__(self, data: Data, settings: Settings) -> None:
        wanted = settings.overfitting
        self.groups: dict[str, Split] = {}
        if not wanted.images:
            return
        if data.validation is None:
            raise InputError(
                "overfitting.images compares training with validation images, and there are none of the latter",
                "hold some images out: data.validation = 0.1",
            )
        for name, positions in _groups(data.train, wanted.images, wanted.subset, settings.seed).items():
            if not len(positions):
                raise InputError(
                    f"overfitting.images = {wanted.images} with overfitting.subset leaves no {name} images to judge",
                    "give 2 or more, and a file that has both kinds in this training split; or leave the subset out",
                )
            images = data.train.images(positions)
            self.groups[name] = TensorSplit(images, data.train.labels[positions], data.train.indices[positions])


def _groups(train: Split, count: int, subset: str | None, seed: int) -> dict[str, Tensor]:
    """Return positions in the training split, ascending, by group; with a subset, half are unlearnable."""
    order = torch.from_numpy(random_stream(seed, Purpose.WATCHED).permutation(len(train)).astype(np.int64))
    if subset is None:
        return {"all": order[:count].sort().values}
    rows = read_rows(subset)
    groups: dict[str, Any] = {"learnable": rows.find_learnable(train), "unlearnable": rows.find(train)}
    return {name: order[members[order]][: count // 2].sort().values for name, members in groups.items()}
