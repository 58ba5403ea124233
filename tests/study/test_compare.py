"""Differences over seeds and images, by hand."""

import math

import pytest

from robustill.study.claims import status
from robustill.study.compare import over_seeds, over_seeds_and_images


def test_over_seeds_is_the_t_interval() -> None:
    found = over_seeds({0: 1.0, 1: 2.0, 2: 3.0, 9: 50.0}, {0: 0.5, 1: 1.0, 2: 1.5})
    assert found["seeds"] == [0, 1, 2]
    assert found["difference"] == pytest.approx(1.0)
    # sd 0.5, t(0.975, 2) = 4.302653
    assert found["interval"] == pytest.approx([1 - 4.302653 * 0.5 / 3**0.5, 1 + 4.302653 * 0.5 / 3**0.5])
    assert over_seeds({0: 1.0}, {1: 1.0}) is None
    assert over_seeds({0: 1.0}, {0: 0.0})["interval"] is None


def test_halves_of_seeds_and_images_are_added_as_squares() -> None:
    values = {0: [100, 100, 0, 0], 1: [100, 100, 100, 0]}
    base = {0: [0, 100, 0, 0], 1: [100, 0, 0, 0]}
    found = over_seeds_and_images(values, base)
    # By seed 25 and 50; by image 50, 50, 50, 0.
    assert found["difference"] == pytest.approx(37.5)
    assert found["half_seeds"] == pytest.approx(12.706205 * 12.5, rel=1e-6)
    assert found["half_images"] == pytest.approx(1.959964 * 25 / 2, rel=1e-6)
    half = math.hypot(12.706205 * 12.5, 1.959964 * 12.5)
    assert found["interval"] == pytest.approx([37.5 - half, 37.5 + half], rel=1e-6)


def test_pairs_are_of_the_same_images() -> None:
    # Equal on every image and seed: no doubt at all, whatever the accuracies are.
    found = over_seeds_and_images({0: [0, 100, 0], 1: [100, 0, 0]}, {0: [0, 100, 0], 1: [100, 0, 0]})
    assert found["interval"] == [0, 0]
    with pytest.raises(ValueError, match="shorter"):
        over_seeds_and_images({0: [0, 100, 0]}, {0: [0, 100]})


def test_one_image_has_no_interval() -> None:
    found = over_seeds_and_images({0: [100], 1: [0], 2: [100]}, {0: [0], 1: [0], 2: [0]})
    assert found["difference"] == pytest.approx(200 / 3)
    assert found["half_seeds"] > 0
    assert (found["half_images"], found["interval"]) == (None, None)
    assert status(found, "above", 0.5, seeds=3) == "not measured"
