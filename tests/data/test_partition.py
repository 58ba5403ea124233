from __future__ import annotations

import pytest
import torch

from robustill.data import load_data
from robustill.data.partition import make_splits
from robustill.data.sources import ArraySource, RawData
from robustill.errors import DataError, InputError


def _raw(n=100, test=None, **options):
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 2, 2)
    return RawData("raw", "here", ArraySource(images, torch.arange(n) % 4), test, **options)


def test_one_tree_gives_a_test_set_that_never_depends_on_the_seed():
    tests = [make_splits(_raw(), seed=seed)[2] for seed in (0, 1)]
    assert torch.equal(tests[0].indices, tests[1].indices)
    train, validation, test = make_splits(_raw(), seed=1)
    assert [len(split) for split in (train, validation, test)] == [72, 8, 20]
    rows = torch.cat([split.indices for split in (train, validation, test)])
    assert sorted(rows.tolist()) == list(range(100))
    for split in (train, validation, test):
        assert torch.equal(split.images(torch.arange(len(split)))[:, 0, 0, 0].long(), split.indices)
        assert torch.equal(split.labels, split.indices % 4)


def test_a_limit_caps_training_and_test_and_stays_stratified():
    train, validation, test = make_splits(_raw(), limit=12, validation=4, seed=2)
    assert [len(split) for split in (train, validation, test)] == [8, 4, 12]
    for split, each in ((train, 2), (validation, 1), (test, 3)):
        assert torch.bincount(split.labels).tolist() == [each] * 4
    other = make_splits(_raw(), limit=12, validation=4, seed=3)
    assert not torch.equal(other[0].indices, train.indices)
    assert len(make_splits(_raw(), limit=10_000)[2]) == 20


@pytest.mark.parametrize("limit", [0, -3, 2.5, True])
def test_a_bad_limit_is_refused(limit):
    with pytest.raises(InputError, match="limit is"):
        make_splits(_raw(), limit=limit)


def test_empty_or_unlike_parts_are_refused():
    empty = ArraySource(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(DataError, match="no test images"):
        make_splits(_raw(test=empty))
    with pytest.raises(DataError, match="one image cannot be split"):
        make_splits(_raw(n=1))
    wide = ArraySource(torch.zeros(2, 1, 2, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(DataError, match=r"test images are \(1, 2, 3\)"):
        make_splits(_raw(test=wide))


def test_load_data_passes_its_arguments_on():
    data = load_data("digits", limit=50, validation=10, seed=1, stream=True)
    assert [len(data.train), len(data.validation), len(data.test)] == [40, 10, 50]
    assert "streamed" in repr(data)
    assert data.digest != load_data("digits", limit=50, validation=10, seed=2).digest
