from __future__ import annotations

import numpy as np
import pytest
import torch

from robustill.data import Augment
from robustill.data.order import Purpose, random_stream
from robustill.errors import InputError


def _stream(seed=0):
    return random_stream(seed, Purpose.AUGMENT, 0, 0)


def _reference(images, crop, flip, random):
    """The same with loops: pad, cut out, mirror, one pixel at a time."""
    batch, channels, height, width = images.shape
    flips = [value < 0.5 for value in random.random_sample(batch)]
    tops, lefts = random.randint(0, 2 * crop + 1, size=(2, batch)).tolist()
    out = torch.zeros_like(images)
    for b in range(batch):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    source_j = width - 1 - j if flip and flips[b] else j
                    y, x = i + tops[b] - crop, source_j + lefts[b] - crop
                    if 0 <= y < height and 0 <= x < width:
                        out[b, c, i, j] = images[b, c, y, x]
    return out


@pytest.mark.parametrize(("crop", "flip"), [(0, True), (2, False), (3, True)])
@pytest.mark.parametrize("batch", [1, 9])
def test_crop_and_flip_equal_the_loops(crop, flip, batch, random_pixels):
    images = torch.from_numpy(random_pixels(batch, 2, 5, 4))
    found = Augment(crop=crop, flip=flip).apply(images, _stream())
    assert torch.equal(found, _reference(images, crop, flip, _stream()))
    assert found.dtype == torch.uint8


def test_the_default_changes_nothing(random_pixels):
    images = torch.from_numpy(random_pixels(4, 1, 3, 3))
    assert Augment().apply(images, _stream()) is images


def test_every_shift_and_both_directions_occur():
    images = torch.zeros(4000, 1, 5, 5, dtype=torch.uint8)
    images[:, 0, 2, 2] = 255
    found = Augment(crop=2).apply(images, _stream())
    rows, columns = found[:, 0].flatten(1).argmax(1) // 5, found[:, 0].flatten(1).argmax(1) % 5
    shifts = torch.bincount(rows * 5 + columns, minlength=25)
    assert shifts.min() > 90  # 160 expected of each of 25
    images = torch.arange(3, dtype=torch.uint8).expand(4000, 1, 1, 3)
    flipped = Augment(flip=True).apply(images, _stream())[:, 0, 0, 0] == 2
    assert 0.45 < flipped.float().mean() < 0.55


def test_the_crop_leaves_the_flips_as_they_are():
    images = torch.arange(9, dtype=torch.uint8).expand(64, 1, 9, 9)
    plain = Augment(flip=True).apply(images, _stream())[:, 0, 4].diff(dim=1)[:, 4] == 1
    cropped = Augment(crop=2, flip=True).apply(images, _stream())[:, 0, 4].diff(dim=1)[:, 4] == 1
    assert torch.equal(plain, cropped)
    assert plain.any()
    assert not plain.all()


def test_the_images_given_are_not_changed(random_pixels):
    images = torch.from_numpy(random_pixels(4, 1, 5, 5))
    before = images.clone()
    Augment(crop=1, flip=True).apply(images, np.random.RandomState(0))
    assert torch.equal(images, before)


@pytest.mark.parametrize("crop", [-1, 1.5, True, "4"])
def test_a_bad_crop_is_refused(crop):
    with pytest.raises(InputError, match="augment crop"):
        Augment(crop=crop)


def test_a_bad_flip_is_refused():
    with pytest.raises(InputError, match="augment flip"):
        Augment(flip="no")


def test_a_crop_larger_than_the_image_is_refused(toy):
    with pytest.raises(InputError, match="out of sight"):
        toy.batches(0, batch_size=4, augment=Augment(crop=5))
    assert [str(a) for a in (Augment(), Augment(crop=4), Augment(crop=4, flip=True))] == [
        "none",
        "crop 4",
        "crop 4 + flip",
    ]
