from __future__ import annotations

import numpy as np
import pytest
import torch

from robustill.data import Augment, Data, StreamSplit
from robustill.data.partition import make_splits
from robustill.data.sources import ArraySource, RawData
from robustill.errors import DataError, InputError

FULL = Augment(crop=2, flip=True)


class Items:
    """A user's data set: (image, label) pairs and nothing else."""

    def __init__(self, images, broken=None):
        self.images, self.broken = images, broken

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index == self.broken:
            raise DataError(f"image {index} is broken", "throw it away")
        return self.images[index], index % 3


@pytest.fixture
def pair(random_pixels):
    """The same data set in memory and streamed."""
    train, test = (ArraySource(torch.from_numpy(random_pixels(n, 3, 6, 6)), torch.arange(n) % 3) for n in (40, 10))
    raw = RawData("pair", "here", train, test, ("a", "b", "c"), augment=FULL)
    return tuple(
        Data("pair", raw.class_names, *make_splits(raw, stream=stream), augment=FULL) for stream in (False, True)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_gives_the_batches_of_the_memory(pair, same_batches, workers):
    memory, stream = pair
    assert isinstance(stream.train, StreamSplit)
    for start in (0, 3):
        expected = memory.batches(1, batch_size=7, seed=4, start=start)
        assert same_batches(expected, stream.batches(1, batch_size=7, seed=4, start=start, workers=workers))
    assert same_batches(memory.test.batches(4), stream.test.batches(4, workers=workers))
    assert same_batches(memory.validation.batches(4, start=1), stream.validation.batches(4, start=1))


def test_digest_and_labels_do_not_depend_on_the_form(pair):
    memory, stream = pair
    assert memory.digest == stream.digest
    assert torch.equal(memory.train.labels, stream.train.labels)
    assert "streamed" in repr(stream)


def test_workers_leave_the_global_generator_alone(pair):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert len(list(pair[1].batches(0, batch_size=20, workers=2))) == 2
    assert torch.equal(state, torch.get_rng_state())


def test_an_epoch_can_be_left_early(pair):
    batches = pair[1].batches(0, batch_size=4, workers=2)
    next(batches)
    batches.close()
    assert len(list(pair[1].batches(0, batch_size=20, workers=2))) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_source_arrives_as_it_was_raised(random_pixels, workers):
    broken = StreamSplit(Items(random_pixels(12, 4, 4), broken=7), labels=torch.arange(12) % 3)
    batches = broken.batches(3, workers=workers)
    next(batches)
    with pytest.raises(DataError) as caught:
        list(batches)
    assert (caught.value.message, caught.value.hint) == ("image 7 is broken", "throw it away")


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (3, 5, 4), (5, 4, 1)])
def test_any_map_style_source_will_do(random_pixels, shape):
    images = random_pixels(6, *shape)
    split = StreamSplit(Items(images))
    assert split.labels.tolist() == [0, 1, 2, 0, 1, 2]
    channels = 3 if 3 in shape else 1
    assert split.shape == (channels, 5, 4)
    chw = images.reshape(6, 1, 5, 4) if channels == 1 else images
    expected = chw if chw.shape[1:] == split.shape else chw.transpose(0, 3, 1, 2)
    assert np.array_equal(split.images(torch.tensor([4, 1])).numpy(), expected[[4, 1]])


def test_items_that_are_no_images_are_refused(random_pixels):
    with pytest.raises(DataError, match=r"expected a uint8 image, got torch.float32"):
        StreamSplit(Items(random_pixels(3, 4, 4).astype(np.float32)))
    ragged = StreamSplit(Items([random_pixels(4, 4), random_pixels(4, 5), random_pixels(4, 4)]))
    with pytest.raises(DataError, match="image 1: shape"):
        ragged.images(torch.tensor([1]))
    with pytest.raises(InputError, match="at least one image"):
        StreamSplit(Items([]))
    with pytest.raises(InputError, match="3 images but 2 labels"):
        StreamSplit(Items(random_pixels(3, 4, 4)), labels=torch.tensor([0, 1]))


def test_large_data_is_streamed_by_default(random_pixels, monkeypatch):
    source = ArraySource(torch.from_numpy(random_pixels(40, 1, 4, 4)), torch.arange(40) % 2)
    raw = RawData("large", "here", source, source)
    assert not isinstance(make_splits(raw)[0], StreamSplit)
    monkeypatch.setattr("robustill.data.partition._MEMORY_BYTES", 80 * 16)
    assert isinstance(make_splits(raw)[0], StreamSplit)
    assert not isinstance(make_splits(raw, limit=39)[0], StreamSplit)
    assert not isinstance(make_splits(raw, stream=False)[0], StreamSplit)
