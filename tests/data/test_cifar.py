from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from robustill.data import DataNotFoundError, load_data
from robustill.data.pickles import read_pickle
from robustill.errors import DataError

NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]


def _write(path, content, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.fixture
def write_cifar10(random_pixels):
    def write(folder, protocol=2):
        pixels = random_pixels(60, 3072)
        for number in range(6):
            name = "test_batch" if number == 5 else f"data_batch_{number + 1}"
            rows = slice(10 * number, 10 * number + 10)
            batch = {b"data": pixels[rows], b"labels": list(range(10)), b"batch_label": b"x"}
            _write(folder / name, batch, protocol)
        _write(folder / "batches.meta", {b"label_names": NAMES, b"num_vis": 3072}, protocol)
        return pixels

    return write


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("place", ["", "cifar-10-batches-py"])
def test_cifar10_batches_are_read(tmp_path, write_cifar10, place, protocol):
    pixels = write_cifar10(tmp_path / place, protocol)
    data = load_data("cifar10", tmp_path, validation=0)
    assert (data.shape, data.class_names[1], data.num_classes) == ((3, 32, 32), "automobile", 10)
    assert (data.augment.crop, data.augment.flip) == (4, True)
    expected = torch.from_numpy(pixels.reshape(60, 3, 32, 32))
    assert torch.equal(data.train.images(torch.arange(50)), expected[:50])
    assert torch.equal(data.test.images(torch.arange(10)), expected[50:])
    assert data.train.labels.tolist() == [*range(10)] * 5


def test_a_batch_written_by_python_2_is_read(tmp_path, write_cifar10):
    # The distributed files: numpy.core.multiarray and byte strings, where Python 3 writes text.
    write_cifar10(tmp_path)
    pixels = bytes(range(256)) * 12
    old = (
        b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89T" + len(pixels).to_bytes(4, "little") + pixels + b"tb"
        b"U\x06labels]q\x02K\x07au."
    )
    (tmp_path / "test_batch").write_bytes(old)
    test = load_data("cifar10", tmp_path).test
    assert test.labels.tolist() == [7]
    assert test.images(torch.tensor([0])).flatten().tolist() == list(pixels)


def test_cifar100_is_read_with_its_fine_labels(tmp_path, random_pixels):
    folder = tmp_path / "cifar-100-python"
    for name, count in (("train", 200), ("test", 100)):
        labels = [i % 100 for i in range(count)]
        batch = {b"data": random_pixels(count, 3072), b"fine_labels": labels, b"coarse_labels": [0] * count}
        _write(folder / name, batch)
    data = load_data("cifar100", tmp_path)
    assert (data.num_classes, data.class_names[0], data.class_names[99]) == (100, "apple", "worm")
    assert len(set(data.class_names)) == 100
    assert data.test.labels.tolist() == list(range(100))
    assert load_data(str(folder)).num_classes == 100


class _Attack:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("where", ["top", "label", "array"])
def test_a_hostile_pickle_executes_nothing(tmp_path, write_cifar10, where, protocol):
    write_cifar10(tmp_path)
    witness = tmp_path / "witness"
    attack = _Attack(os.system, f"touch {witness}")
    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [0]}
    content = {"top": attack, "label": {**batch, b"labels": [attack]}, "array": {**batch, b"data": attack}}[where]
    _write(tmp_path / "data_batch_3", content, protocol)
    with pytest.raises(DataError, match=r"data_batch_3: refused as image data \(it asks for .*system") as caught:
        load_data("cifar10", tmp_path)
    assert not witness.exists()
    assert "Traceback" not in str(caught.value)
    # The payload is a real one: plain pickle would have run it.
    pickle.loads((tmp_path / "data_batch_3").read_bytes())
    assert witness.exists()


@pytest.mark.parametrize(
    "name", ["builtins eval", "builtins getattr", "numpy.testing._private.utils runstring", "numpy load", "os system"]
)
def test_no_other_name_is_reachable(tmp_path, name):
    module, attribute = name.split()
    path = tmp_path / "batch"
    path.write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(DataError, match="which image data does not need"):
        read_pickle(path)


def test_a_pickle_cannot_change_what_it_is_given(tmp_path):
    # BUILD with slot state sets attributes, here __defaults__ of the function behind _codecs.encode.
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__K\x01K\x02\x86s\x86b0}.")
    assert read_pickle(path) == {}
    from robustill.data import pickles

    assert pickles._encode.__defaults__ is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"data": np.zeros((1, 3072), np.float32)}, "an array of 'f4'"),
        ({b"data": np.array([None] * 3072)}, "an array of 'O8'"),
        ({b"data": np.zeros((1, 3071), np.uint8)}, "rows of 3072 bytes"),
        ({b"data": b"x" * 3072}, "'data' is not an array"),
        ({b"labels": [0, 1]}, "1 images but 2 labels"),
        ({b"labels": ["a"]}, "not a list of class numbers"),
        ({b"labels": [True]}, "not a list of class numbers"),
        ({b"labels": [12]}, r"label 12 is outside 0\.\.9"),
        ({b"labels": None}, "not a list of class numbers"),
    ],
)
def test_a_malformed_batch_is_named(tmp_path, write_cifar10, change, message):
    write_cifar10(tmp_path)
    _write(tmp_path / "test_batch", {b"data": np.zeros((1, 3072), np.uint8), b"labels": [0]} | change)
    with pytest.raises(DataError, match=message):
        load_data("cifar10", tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"no pickle", b"\x80\x02]q\x00.", b"(" * 100, b"\x80\x02K\x01."])
def test_what_is_no_pickle_is_named(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match=r"batch: (refused|expected a dictionary)"):
        read_pickle(tmp_path / "batch")


def test_an_array_must_have_the_bytes_its_shape_claims(tmp_path):
    good = pickle.dumps({b"data": np.zeros((2, 3), np.uint8)}, protocol=2)
    path = tmp_path / "batch"
    path.write_bytes(good)
    assert read_pickle(path)["data"].array.shape == (2, 3)
    path.write_bytes(good.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86"))
    with pytest.raises(DataError, match="do not fit its shape"):
        read_pickle(path)


def test_missing_batches_are_named(tmp_path, write_cifar10):
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_4").unlink()
    (tmp_path / "test_batch").unlink()
    with pytest.raises(DataNotFoundError, match="missing data_batch_4, test_batch"):
        load_data("cifar10", tmp_path)
