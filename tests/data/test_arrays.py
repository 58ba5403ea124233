from __future__ import annotations

import numpy as np
import pytest
import torch

from robustill.data import Augment, Data
from robustill.errors import InputError

LABELS = np.arange(12) % 3


def _load(images, labels=LABELS, **options):
    good = (np.zeros((12, 4, 5, 3), dtype=np.uint8), LABELS)
    return Data.from_arrays((images, labels), options.pop("test", good), validation=0, **options)


def test_every_layout_and_type_gives_the_same_data(random_pixels):
    pixels = random_pixels(12, 4, 5, 3)
    expected = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    variants = [
        pixels,
        pixels.transpose(0, 3, 1, 2),
        pixels[::-1][::-1],
        pixels / 255,
        (pixels / 255).astype(np.float16),
        (pixels / 255).astype(">f4"),
        torch.from_numpy(pixels),
        torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float() / 255,
    ]
    read_only = pixels.copy()
    read_only.flags.writeable = False
    for images in (*variants, read_only):
        data = _load(images)
        assert data.shape == (3, 4, 5)
        assert torch.equal(data.train.images(torch.arange(12)), expected)
    gray = _load(pixels[..., 0], test=(pixels[..., 0], LABELS))
    assert gray.shape == (1, 4, 5)


def test_labels_of_any_integer_type(random_pixels):
    images = random_pixels(12, 4, 5, 3)
    for labels in (LABELS.tolist(), LABELS.astype(">u2"), LABELS[:, None], torch.from_numpy(LABELS).to(torch.uint8)):
        data = _load(images, labels)
        assert data.train.labels.tolist() == LABELS.tolist()
        assert data.class_names == ("0", "1", "2")


def test_the_data_does_not_change_with_the_users_array(random_pixels):
    images = random_pixels(12, 4, 5, 3)
    data = _load(images)
    before = data.train.images(torch.arange(12)).clone()
    images[:] = 0
    assert torch.equal(data.train.images(torch.arange(12)), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype(np.float32), "float images must be in .0, 1., these reach from 0 to 25[0-9]"),
        (lambda x: x / 255 - 0.5, "reach from -0.5"),
        (lambda x: np.where(x == x[0, 0, 0, 0], np.nan, x / 255), "hold NaN"),
        (lambda x: np.where(x == x[0, 0, 0, 0], np.inf, x / 255), "to inf"),
        (lambda x: x.astype(np.int64), "images are torch.int64; they must be uint8"),
        (lambda x: x > 9, "images are torch.bool"),
        (lambda x: x[:11], "11 images but 12 labels"),
        (lambda x: x[..., :2], "expected .N, H, W."),
        (lambda x: x[0, 0], "images have shape .5, 3."),
        (lambda x: x[:, :3], "unclear which axis"),
        (lambda x: x[:, :0], "without a single pixel"),
        (lambda x: x.astype(str), "images are an array of <U"),
        (lambda x: x.astype(object), "images are an array of object"),
    ],
)
def test_bad_images_are_one_clear_error(random_pixels, change, message):
    images = random_pixels(12, 4, 5, 3)
    images[0, 0, 0] = (0, 255, 9)
    with pytest.raises(InputError, match=message) as caught:
        _load(change(images))
    assert "training set" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS.astype(float), "labels are torch.float64"),
        (LABELS > 1, "labels are torch.bool"),
        (LABELS - 1, r"label -1 is outside"),
        (LABELS * 10**6, "label 2000000 is outside"),
        (np.eye(12, 3, dtype=int), r"labels have shape \(12, 3\)"),
        (["a"] * 12, "array of <U1"),
    ],
)
def test_bad_labels_are_one_clear_error(random_pixels, labels, message):
    with pytest.raises(InputError, match=message):
        _load(random_pixels(12, 4, 5, 3), labels)


def test_class_names_bound_the_labels(random_pixels):
    images = random_pixels(12, 4, 5, 3)
    with pytest.raises(InputError, match=r"training set: label 2 is outside 0\.\.1\n.*class_names, .* give 2 classes"):
        _load(images, class_names=("a", "b"))
    with pytest.raises(InputError, match=r"test set: label 3 is outside 0\.\.2"):
        _load(images, test=(images, LABELS + 1))
    data = _load(images, class_names=("a", "b", "c", "d"), augment=Augment(flip=True), name="mine")
    assert (data.num_classes, data.name, data.augment.flip) == (4, "mine", True)


def test_a_tensor_has_its_channels_first():
    images = torch.zeros(12, 3, 5, 3, dtype=torch.uint8)
    assert _load(images, test=(images, LABELS)).shape == (3, 5, 3)


def test_an_empty_set_is_refused():
    with pytest.raises(InputError, match="there are no images"):
        _load(np.zeros((0, 4, 5, 3), dtype=np.uint8), np.zeros(0, dtype=int))
