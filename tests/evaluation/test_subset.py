"""A subset has as many images of each class as there can be."""

from typing import Any

import pytest
import torch
from torch import Tensor

from robustill.errors import InputError
from robustill.evaluation import balanced


def labels_of(*counts: int) -> Tensor:
    """Return shuffled labels with so many of each class; the labels of missing classes do not occur."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]


def per_class(labels: Tensor, chosen: Tensor) -> list[int]:
    return torch.bincount(labels[chosen], minlength=int(labels.max()) + 1).tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 2, 4, 5, 7, 20, 21, 99])
def test_classes_are_equal_to_within_one(count: int, seed: int) -> None:
    # Drawn at random, the large class would have most of the images.
    labels = labels_of(200, 25, 30, 40)
    chosen = balanced(labels, count, seed)
    assert chosen.dtype == torch.int64
    assert len(chosen) == count
    assert (chosen[1:] > chosen[:-1]).all(), "in ascending order, each once"
    counts = per_class(labels, chosen)
    assert max(counts) - min(counts) <= 1
    assert sorted(counts) == [count // 4 + (k >= 4 - count % 4) for k in range(4)]


def test_where_a_class_has_too_few_the_others_fill_up() -> None:
    labels = labels_of(50, 3, 50, 8)
    assert per_class(labels, balanced(labels, 60, seed=0)) in ([25, 3, 24, 8], [24, 3, 25, 8])
    assert per_class(labels, balanced(labels, 61, seed=0)) == [25, 3, 25, 8]
    assert per_class(labels, balanced(labels, 110, seed=0)) in ([50, 3, 49, 8], [49, 3, 50, 8])


def test_classes_that_do_not_occur_take_no_place() -> None:
    labels = labels_of(20, 0, 0, 20)
    assert per_class(labels, balanced(labels, 10, seed=0)) == [5, 0, 0, 5]


def test_the_seed_decides_which_images_and_repeats() -> None:
    labels = labels_of(100, 100, 100)
    draws = [tuple(balanced(labels, 30, seed).tolist()) for seed in range(8)]
    assert len(set(draws)) == 8
    assert draws == [tuple(balanced(labels, 30, seed).tolist()) for seed in range(8)]
    reached = {position for draw in draws for position in draw}
    assert max(reached) > 250, "not only the first images"
    assert len(reached) > 120, "seeds share hardly anything"


def test_the_seed_decides_which_class_gets_one_more() -> None:
    labels = labels_of(20, 20, 20)
    most = {tuple(per_class(labels, balanced(labels, 4, seed))) for seed in range(30)}
    assert most == {(2, 1, 1), (1, 2, 1), (1, 1, 2)}


def test_the_global_generator_is_not_used() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    balanced(labels_of(9, 9), 5, seed=0)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("count", [111, 112, 10**9])
def test_not_more_than_there_are(count: int) -> None:
    labels = labels_of(50, 3, 50, 8)
    assert torch.equal(balanced(labels, count, seed=0), torch.arange(111))


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "10", None])
def test_a_count_that_is_none(count: Any) -> None:
    with pytest.raises(InputError, match=r"images is .*; it must be a number of images, 1 or more"):
        balanced(labels_of(5, 5), count, seed=0)


def test_an_impossible_seed() -> None:
    with pytest.raises(InputError, match="seed is -1"):
        balanced(labels_of(5, 5), 3, seed=-1)
