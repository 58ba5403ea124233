"""Which training images are meant: rows in a file, and a placebo for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustill.data import Split
from robustill.data.order import Purpose, random_stream
from robustill.errors import DataError, ModelError
from robustill.models.weights import read_safetensors

_LEARNABILITY = "robustill-learnability/1"
_MADE_BY = "robustill unlearnable writes such a file; one int64 tensor 'unlearnable' of rows will do as well"


@dataclass(frozen=True)
class Rows:
    """Rows of a data set's source, as `Split.indices` counts them: whatever is held out for validation.

    Args:
        unlearnable: int64 `[u]`, ascending and each once.
        learnable: int64 `[l]`; None: all the others.
        labels: What the file knows of rows and labels, two times int64 `[n]`; None for nothing.
        where: What to call it in messages.
    """

    unlearnable: Tensor
    learnable: Tensor | None = None
    labels: tuple[Tensor, Tensor] | None = None
    where: str = "subset"

    def find(self, train: Split) -> Tensor:
        """Return which images of a training split are unlearnable, bool `[N]`.

        Rows that were held out for validation, or left out by a limit, are in no training batch and have no place here.

        Raises:
            DataError: None of them is in the split, or the file is of other data.
        """
        self._check_labels(train)
        found = torch.isin(train.indices, self.unlearnable)
        if not bool(found.any()):
            count = len(self.unlearnable)
            raise DataError(
                f"{self.where}: none of its {count} rows is among the {len(train)} training images",
                "give a subset of this data set, found by robustill unlearnable",
            )
        return found

    def find_learnable(self, train: Split) -> Tensor:
        """Return which images of a training split are learnable, bool `[N]`.

        Raises:
            DataError: The file is of other data.
        """
        self._check_labels(train)
        if self.learnable is None:
            return ~torch.isin(train.indices, self.unlearnable)
        return torch.isin(train.indices, self.learnable)

    def _check_labels(self, train: Split) -> None:
        if self.labels is None:
            return
        rows, labels = self.labels
        most = int(train.indices.max())
        known = torch.full((most + 1,), -1, dtype=torch.int64)
        known[rows[rows <= most]] = labels[rows <= most]
        own = known[train.indices]
        if bool(((own >= 0) & (own != train.labels)).any()):
            raise DataError(f"{self.where} is of other data: its labels differ", "name a file made for this data set")


def as_rows(subset: str | Path | Tensor | Sequence[int]) -> Rows:
    """Return rows from a file or a vector.

    Raises:
        DataError: No such file, not one of rows, or no vector of whole numbers of 0 or more.
    """
    if isinstance(subset, str | Path):
        return read_rows(subset)
    return Rows(_checked(torch.as_tensor(subset), "subset"))


def read_rows(path: str | Path) -> Rows:
    """Read which rows are unlearnable: what all references of a file of `robustill unlearnable` get wrong.

    A safetensors file with one int64 tensor `unlearnable` of rows, and perhaps one named `learnable`, will do as well.

    Raises:
        DataError: No such file, not safetensors, or not of such contents.
    """
    try:
        tensors, metadata = read_safetensors(Path(path))
    except ModelError as error:
        raise DataError(error.message, _MADE_BY) from error
    if metadata.get("format") == _LEARNABILITY:
        return _of_references(tensors, str(path))
    if "unlearnable" not in tensors:
        raise DataError(f"{path} has no tensor 'unlearnable', but {', '.join(tensors) or 'none'}", _MADE_BY)
    some = {
        name: _checked(tensors[name], f"{path}: {name}") for name in ("unlearnable", "learnable") if name in tensors
    }
    return Rows(**some, where=str(path))  # type: ignore[arg-type]


def _of_references(tensors: dict[str, Tensor], where: str) -> Rows:
    try:
        rows, labels = tensors["rows"].long(), tensors["labels"].long()
        right = torch.from_numpy(np.unpackbits(tensors["right"].numpy(), axis=1, count=len(rows)).astype(bool))
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{where} contradicts itself: {error}", "make it again: robustill unlearnable") from error
    fits = rows.ndim == 1 and rows.shape == labels.shape and tensors["right"].shape[1] == -(-len(rows) // 8)
    if not fits or not len(rows) or int(rows.min()) < 0:
        raise DataError(
            f"{where} contradicts itself: {len(rows)} rows, {len(labels)} labels", "run robustill unlearnable again"
        )
    wrong, sure = _checked(rows[~right.any(0)], where), _checked(rows[right.all(0)], where)
    return Rows(wrong, sure, (rows, labels), where)


def _checked(rows: Tensor, where: str) -> Tensor:
    found: Any = rows.cpu()
    if found.ndim != 1 or (found.dtype != torch.int64 and found.numel()):
        raise DataError(f"{where}: rows must be an int64 vector, not {found.dtype} {list(found.shape)}")
    if found.numel() and int(found.min()) < 0:
        raise DataError(
            f"{where}: row {int(found.min())} is below 0", "rows count from 0 in the source of the data set"
        )
    return torch.unique(found.long())  # type: ignore[no-any-return]


def placebo(chosen: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Return as many other images of each class, drawn by `seed`, bool `[N]`.

    Args:
        chosen: The images to match, bool `[N]`; none of them is drawn.
        labels: Of all images, int64 `[N]`.
        seed: Decides which are drawn.

    Raises:
        DataError: A class has not that many others.
    """
    shuffled = torch.from_numpy(random_stream(seed, Purpose.PLACEBO).permutation(len(labels)).astype(np.int64))
    drawn = torch.zeros_like(chosen)
    for label in set(labels[chosen].tolist()):
        wanted = int((chosen & (labels == label)).sum())
        others = shuffled[(labels[shuffled] == label) & ~chosen[shuffled]]
        if len(others) < wanted:
            raise DataError(
                f"no placebo: class {label} has {wanted} images of the subset and {len(others)} others",
                "a placebo needs as many images outside the subset, in every class",
            )
        drawn[others[:wanted]] = True
    return drawn


def digest(chosen: Tensor) -> Tensor:
    """Return four numbers that tell subsets apart, int64 `[4]`."""
    found = hashlib.sha256(chosen.cpu().numpy().tobytes()).digest()
    return torch.from_numpy(np.frombuffer(found, dtype=np.int64).copy())
