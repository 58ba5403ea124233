from __future__ import annotations

import numpy as np
import pytest
import torch

from robustill.data import Augment, Data, StreamSplit, TensorSplit, batches_in_order, load_data
from robustill.data.order import epoch_order
from robustill.errors import DataError, InputError

FULL = Augment(crop=2, flip=True)


def test_an_epoch_visits_every_training_image_once_in_the_seeded_order(toy):
    order = epoch_order(42, seed=3, epoch=1)
    batches = list(toy.batches(1, batch_size=8, seed=3))
    assert [len(y) for _, y in batches] == [8] * 5 + [2]
    assert len(batches) == toy.steps_per_epoch(8) == 6
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    assert torch.equal(y, toy.train.labels[order])
    assert torch.equal(x, toy.train.images(order).float() / 255)


def test_pixels_are_scaled_to_the_unit_interval():
    images = np.array([0, 51, 255, 1], dtype=np.uint8).reshape(4, 1, 1)
    data = Data.from_arrays((images, [0, 1, 0, 1]), (images, [0, 1, 0, 1]), validation=0)
    x, _ = next(data.test.batches(4))
    assert x.flatten().tolist() == pytest.approx([0, 0.2, 1, 1 / 255])


def test_order_and_augmentation_ignore_and_leave_the_global_generator(toy, same_batches):
    torch.manual_seed(0)
    first = list(toy.batches(0, batch_size=8, augment=FULL))
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert same_batches(first, toy.batches(0, batch_size=8, augment=FULL))
    assert torch.equal(state, torch.get_rng_state())


def test_seed_and_epoch_change_the_order(toy):
    labels = {
        (seed, epoch): tuple(torch.cat([y for _, y in toy.batches(epoch, batch_size=8, seed=seed)]).tolist())
        for seed in range(2)
        for epoch in range(2)
    }
    assert len(set(labels.values())) == 4


@pytest.mark.parametrize("start", [0, 1, 3, 5, 6])
def test_start_continues_bit_for_bit(toy, same_batches, start):
    full = list(toy.batches(2, batch_size=8, seed=1, augment=FULL))
    assert same_batches(full[start:], toy.batches(2, batch_size=8, seed=1, augment=FULL, start=start))
    in_order = list(toy.test.batches(5))
    assert same_batches(in_order[min(start, 3) :], toy.test.batches(5, start=min(start, 3)))


def test_start_does_not_load_what_it_leaves_out():
    seen = []

    class Watched:
        labels = torch.arange(20) % 2
        shape = (1, 2, 2)

        def __len__(self):
            return 20

        def __getitem__(self, index):
            seen.append(index)
            return np.zeros((1, 2, 2), dtype=np.uint8), index % 2

    split = StreamSplit(Watched())
    data = Data("watched", ("a", "b"), split, None, split)
    seen.clear()
    assert len(list(data.batches(0, batch_size=6, start=3))) == 1
    assert seen == epoch_order(20, 0, 0)[18:].tolist()


def test_batches_differ_in_their_augmentation():
    images = np.tile(np.arange(9, dtype=np.uint8), (40, 9, 1))
    data = Data.from_arrays((images, np.arange(40) % 2), (images, np.arange(40) % 2), validation=0)
    first, second = (x for x, _ in data.batches(0, batch_size=20, augment=FULL))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("batch_size", [1, 42, 43, 1000])
def test_any_batch_size_covers_the_set(toy, batch_size):
    batches = list(toy.batches(0, batch_size=batch_size, augment=FULL))
    assert sum(len(y) for _, y in batches) == 42
    assert len(batches) == toy.steps_per_epoch(batch_size)
    assert all(x.shape[1:] == (3, 6, 5) for x, _ in batches)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"batch_size": 8, "start": 7}, "only 6 batches"),
        ({"batch_size": 8, "start": -1}, "start is -1"),
        ({"batch_size": 8, "workers": -1}, "workers is -1"),
        ({"batch_size": 8, "seed": -1}, "seed is -1"),
        ({"batch_size": 8, "epoch": -1}, "epoch is -1"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(toy, given, message):
    with pytest.raises(InputError, match=message):
        toy.batches(given.pop("epoch", 0), **given)


def test_evaluation_reads_in_order(toy, same_batches):
    labels = torch.cat([y for _, y in batches_in_order(toy.test, 5)])
    assert torch.equal(labels, toy.test.labels)
    assert same_batches(batches_in_order(toy.test, 5), toy.test.batches(5))
    with pytest.raises(InputError, match="only 3 batches"):
        toy.test.batches(5, start=4)


def test_positions_outside_a_split_are_refused(toy):
    for position in (-1, 12):
        with pytest.raises(InputError, match=r"0\.\.11"):
            toy.test.images(torch.tensor([position]))


def test_to_keeps_everything(toy, same_batches):
    moved = toy.to("cpu")
    assert moved.digest == toy.digest
    assert same_batches(moved.batches(0, batch_size=7), toy.batches(0, batch_size=7))
    assert moved.augment == toy.augment


def test_to_brings_batches_to_the_device(toy):
    x, y = next(toy.to("meta").batches(0, batch_size=4, augment=FULL))
    assert (x.device.type, y.device.type) == ("meta", "meta")
    x, y = next(toy.batches(0, batch_size=4, device="meta"))
    assert (x.device.type, y.device.type) == ("meta", "meta")
    assert toy.to("meta").train.labels.device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_the_same_on_a_gpu(toy):
    for (x, y), (x_gpu, y_gpu) in zip(
        toy.batches(0, batch_size=8, augment=FULL),
        toy.to("cuda").batches(0, batch_size=8, augment=FULL),
        strict=True,
    ):
        assert x_gpu.is_cuda
        assert torch.equal(x_gpu.cpu(), x)
        assert torch.equal(y_gpu.cpu(), y)
    assert toy.to("cuda").digest == toy.digest


def test_the_digest_identifies_content_and_split(random_pixels):
    images, labels = random_pixels(40, 4, 4), np.arange(40) % 4

    def digest(pixels=images, classes=labels, **options):
        return Data.from_arrays((pixels, classes), (images, labels), **options).digest

    changed = images.copy()
    changed[3, 0, 0] += 1
    variants = [
        digest(),
        digest(seed=1),
        digest(validation=0.2),
        digest(pixels=changed),
        digest(classes=np.roll(labels, 1)),
        digest(class_names=("a", "b", "c", "d")),
    ]
    assert len(set(variants)) == len(variants)
    assert digest() == variants[0]
    assert len(variants[0]) == 64


def test_the_digest_tells_splits_of_alike_images_apart():
    images, labels = np.zeros((40, 4, 4), np.uint8), [0] * 20 + [1] * 20
    data = [Data.from_arrays((images, labels), (images, labels), seed=seed) for seed in range(2)]
    assert torch.equal(data[0].train.labels, data[1].train.labels)
    assert data[0].digest != data[1].digest


def test_repr_says_what_it_is(toy):
    assert repr(toy) == (
        "Data('arrays', 4 classes, 3x6x5: train 42, validation 5, test 12; in memory on cpu, augment none)"
    )
    assert repr(toy.test) == "TensorSplit(12 images, 3x6x5, cpu)"


def test_labels_must_have_a_class_and_shapes_must_agree():
    small = TensorSplit(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 2]))
    other = TensorSplit(torch.zeros(4, 1, 3, 3, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(DataError, match=r"train label 2 is outside 0\.\.1"):
        Data("bad", ("a", "b"), small, None, small)
    with pytest.raises(DataError, match=r"test images are \(1, 3, 3\)"):
        Data("bad", ("a", "b", "c"), small, None, other)


def test_digits_have_a_fixed_test_set():
    first, second = load_data("digits"), load_data("digits", seed=5, validation=0)
    assert torch.equal(first.test.indices, second.test.indices)
    assert (len(second.train), len(first.test)) == (1437, 360)
    assert second.validation is None
    assert not set(first.test.indices.tolist()) & set(second.train.indices.tolist())
    counts = torch.bincount(first.test.labels)
    assert counts.min() >= 34
    # Written down once: results on digits are only comparable while this holds.
    assert first.test.indices[:8].tolist() == [1, 13, 15, 16, 23, 25, 28, 33]
    assert first.train.images(torch.arange(200)).max() == 255
