from __future__ import annotations

import gzip
import os
import struct

import numpy as np
import pytest
import torch

from robustill.data import DataNotFoundError, load_data
from robustill.data.idx import read_idx
from robustill.errors import DataError


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("place", ["", "raw", "FashionMNIST/raw"])
def test_the_four_files_are_found_and_read(tmp_path, write_idx, zipped, place):
    pixels = write_idx(tmp_path / place, zipped=zipped)
    data = load_data("fashion-mnist", tmp_path, validation=0)
    assert (data.name, data.shape, data.num_classes) == ("fashion-mnist", (1, 28, 28), 10)
    assert data.class_names[9] == "Ankle boot"
    assert np.array_equal(data.train.images(torch.arange(30)).numpy()[:, 0], pixels)
    assert np.array_equal(data.test.images(torch.arange(20)).numpy()[:, 0], pixels[:20] // 2)
    assert data.train.labels.tolist() == [*range(10)] * 3
    assert data.augment.crop == 0


def test_names_with_a_dot_and_other_sizes(tmp_path, write_idx):
    write_idx(tmp_path, side=9)
    for path in tmp_path.iterdir():
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert load_data("idx", tmp_path).shape == (1, 9, 9)
    assert load_data(str(tmp_path)).shape == (1, 9, 9)
    with pytest.raises(DataError, match=r"images are \(1, 9, 9\), those of mnist are \(1, 28, 28\)"):
        load_data("mnist", tmp_path)


def _idx(shape=(2, 3, 3), *, payload=None, magic=b"\x00\x00\x08\x03"):
    body = bytes(range(18)) if payload is None else payload
    return magic + struct.pack(f">{len(shape)}I", *shape) + body


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off after 0 bytes"),
        (_idx()[:15], "cut off after 15 bytes"),
        (_idx(payload=b"x" * 17), "cut off; the IDX header claims 18 bytes"),
        (_idx(payload=b"x" * 19), "too long; the IDX header claims 18 bytes"),
        (_idx(magic=b"\x00\x00\x0d\x03"), "magic 00000d03, not 00000803"),
        (_idx(magic=b"\x00\x00\x08\x01"), "magic 00000801"),
        (_idx(shape=(0, 3, 3)), "empty array"),
        (_idx(shape=(2**32 - 1,) * 3), "more than the file can hold"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, content, message, zipped):
    path = tmp_path / ("images.gz" if zipped else "images")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, ndim=3)
    assert str(path) in str(caught.value)


def test_a_sound_file_is_read(tmp_path):
    (tmp_path / "images").write_bytes(_idx())
    assert read_idx(tmp_path / "images", ndim=3).tolist() == np.arange(18).reshape(2, 3, 3).tolist()


@pytest.mark.parametrize("damage", [lambda b: b[:-12], lambda b: b"PK" + b[2:], lambda b: b[:10] + b"\x07" + b[11:]])
def test_broken_gzip_is_named(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(_idx(payload=os.urandom(18)))))
    with pytest.raises(DataError, match="broken gzip") as caught:
        read_idx(path, ndim=3)
    assert str(path) in str(caught.value)


def test_a_gzip_bomb_is_read_no_further_than_its_claim(tmp_path, monkeypatch):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(_idx(shape=(1, 1, 8), payload=bytes(50_000_000)), 9))
    read = []
    original = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, n=-1: read.append(n) or original(self, n))
    with pytest.raises(DataError, match="too long"):
        read_idx(path, ndim=3)
    assert sum(read) < 100


def test_images_and_labels_must_match(tmp_path, write_idx):
    write_idx(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(struct.pack(">HBBI", 0, 8, 1, 29) + bytes(29))
    with pytest.raises(DataError, match=r"30 images, .*29 labels"):
        load_data("idx", tmp_path)
    labels.write_bytes(struct.pack(">HBBI", 0, 8, 1, 30) + bytes([77] * 30))
    with pytest.raises(DataError, match=r"label 77 is outside 0\.\.9"):
        load_data("mnist", tmp_path)


def test_missing_files_are_named(tmp_path, write_idx):
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataNotFoundError, match=r"missing t10k-labels-idx1-ubyte\[.gz\]\n"):
        load_data("fashion-mnist", tmp_path)
