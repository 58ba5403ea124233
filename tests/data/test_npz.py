from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
import torch

from robustill.data import DataNotFoundError, load_data
from robustill.errors import DataError, InputError


def _arrays(random_pixels, **changes):
    arrays = {
        "x_train": random_pixels(20, 4, 4, 3),
        "y_train": np.arange(20) % 2,
        "x_test": random_pixels(6, 4, 4, 3),
        "y_test": np.arange(6) % 2,
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_is_read(tmp_path, random_pixels, save):
    arrays = _arrays(random_pixels, y_train=np.arange(20)[:, None] % 2)
    save(tmp_path / "toy.npz", **arrays)
    for name, root in (("npz", tmp_path), ("npz", tmp_path / "toy.npz"), (str(tmp_path / "toy.npz"), None)):
        data = load_data(name, root, validation=0)
        assert (data.name, data.shape, data.class_names) == ("toy", (3, 4, 4), ("0", "1"))
        expected = arrays["x_train"].transpose(0, 3, 1, 2)
        assert np.array_equal(data.train.images(torch.arange(20)).numpy(), expected)
        assert data.test.labels.tolist() == [0, 1] * 3
    with pytest.raises(InputError, match="size=8: toy holds 4x4 arrays"):
        load_data("npz", tmp_path, size=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "missing y_test"),
        ({"x_train": np.ones((20, 4, 4, 3)) * 255}, "x_train and y_train: float images must be in"),
        ({"y_test": np.arange(6)}, r"x_test and y_test: label 5 is outside 0\.\.1"),
        ({"y_train": np.zeros(20)}, "labels are torch.float64"),
        ({"y_train": np.array([print] * 20)}, "y_train.npy holds pickled Python objects, which are not loaded"),
        ({"y_train": np.array([0, 1] * 10, dtype=object)}, r"y_train.npy holds pickled Python objects(.|\n)*integers"),
        ({"y_test": np.arange(6) % 2 + 1}, r"label 2 is outside 0\.\.1\n.*labels start at 0: subtract 1"),
    ],
)
def test_bad_arrays_are_a_data_error(tmp_path, random_pixels, changes, message):
    np.savez(tmp_path / "toy.npz", **_arrays(random_pixels, **changes))
    with pytest.raises(DataError, match=message) as caught:
        load_data("npz", tmp_path)
    assert "toy.npz" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_what_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "toy.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"toy.npz: not a numpy archive"):
        load_data(str(tmp_path / "toy.npz"))


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(DataNotFoundError, match="no such"):
        load_data(str(tmp_path / "toy.npz"))
    with pytest.raises(DataNotFoundError, match=r"expected one .npz file in it, found 0"):
        load_data("npz", tmp_path)


def test_a_header_that_claims_too_much_allocates_nothing(tmp_path, random_pixels, monkeypatch):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000, 4, 4, 3), }"
    forged = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(100)
    with zipfile.ZipFile(tmp_path / "toy.npz", "w") as archive:
        for name, array in _arrays(random_pixels).items():
            stream = io.BytesIO()
            np.save(stream, array)
            archive.writestr(f"{name}.npy", forged if name == "x_train" else stream.getvalue())
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("the array was read"))
    with pytest.raises(DataError, match=r"x_train.npy claims 19200000.* bytes, more than the file can hold"):
        load_data("npz", tmp_path)
