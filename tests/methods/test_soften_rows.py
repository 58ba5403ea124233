"""Files that say which training images are unlearnable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from robustill.data import TensorSplit
from robustill.errors import DataError
from robustill.methods.soften_rows import read_rows

# Three references on nine images: the first and the last are right for none, the third and the fourth for all.
RIGHT = [[0, 1, 1, 1, 0, 1, 0, 1, 0], [0, 0, 1, 1, 1, 1, 0, 1, 0], [0, 1, 1, 1, 0, 0, 1, 0, 0]]
ROWS = [3, 5, 8, 9, 12, 20, 21, 22, 30]


def references(path: Path, **changes: Tensor) -> Path:
    right = torch.from_numpy(np.packbits(np.array(RIGHT, dtype=bool), axis=1))
    tensors = {"right": right, "rows": torch.tensor(ROWS), "labels": torch.arange(9, dtype=torch.int32) % 3}
    about = json.dumps({"references": ["a/0", "a/1", "b/0"], "about": {}})
    save_file({**tensors, **changes}, path, metadata={"format": "robustill-learnability/1", "about": about})
    return path


def split(indices: list[int], labels: list[int]) -> TensorSplit:
    pixels = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    return TensorSplit(pixels, torch.tensor(labels), torch.tensor(indices))


def test_what_all_references_get_wrong_and_right(tmp_path: Path) -> None:
    found = read_rows(references(tmp_path / "l.safetensors"))
    assert found.unlearnable.tolist() == [3, 30]
    assert found.learnable is not None
    assert found.learnable.tolist() == [8, 9]
    train = split([30, 4, 8, 5], [2, 0, 2, 1])
    assert found.find(train).tolist() == [True, False, False, False]
    assert found.find_learnable(train).tolist() == [False, False, True, False]


def test_plain_rows(tmp_path: Path) -> None:
    save_file({"unlearnable": torch.tensor([7, 1])}, tmp_path / "u.safetensors")
    found = read_rows(str(tmp_path / "u.safetensors"))
    train = split([0, 1, 2, 7], [0, 0, 0, 0])
    assert found.find(train).tolist() == [False, True, False, True]
    assert found.find_learnable(train).tolist() == [True, False, True, False]
    save_file({"unlearnable": torch.tensor([1]), "learnable": torch.tensor([0])}, tmp_path / "both.safetensors")
    assert read_rows(tmp_path / "both.safetensors").find_learnable(train).tolist() == [True, False, False, False]


def test_labels_tell_other_data(tmp_path: Path) -> None:
    found = read_rows(references(tmp_path / "l.safetensors"))
    found.find(split([3, 99, 1], [0, 1, 1]))
    for find in (found.find, found.find_learnable):
        with pytest.raises(DataError, match=r"l\.safetensors is of other data: its labels differ"):
            find(split([3, 99], [1, 1]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": torch.tensor(ROWS[:-1])}, "contradicts itself"),
        ({"labels": torch.zeros(3, dtype=torch.int32)}, "contradicts itself"),
        ({"right": torch.zeros(3, 1, dtype=torch.uint8)}, "contradicts itself"),
        ({"right": torch.zeros(9, dtype=torch.uint8)}, "contradicts itself"),
        ({"right": torch.zeros(3, 2)}, "contradicts itself"),
        ({"rows": torch.tensor([-3, *ROWS[1:]])}, "contradicts itself"),
    ],
    ids=str,
)
def test_a_file_that_contradicts_itself(tmp_path: Path, changes: dict[str, Tensor], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_rows(references(tmp_path / "l.safetensors", **changes))


def test_files_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("rows")
    with pytest.raises(DataError, match="not a complete safetensors file"):
        read_rows(tmp_path / "text")
    save_file({"rows": torch.tensor([1])}, tmp_path / "rows")
    with pytest.raises(DataError, match="no tensor 'unlearnable', but rows"):
        read_rows(tmp_path / "rows")
    for wrong in (torch.ones(3), torch.ones(2, 2, dtype=torch.int64), torch.tensor([-1])):
        save_file({"unlearnable": wrong}, tmp_path / "wrong")
        with pytest.raises(DataError, match="wrong: unlearnable"):
            read_rows(tmp_path / "wrong")
