"""Readers of data: whatever a file holds, there are images and labels, or one error for users."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from robustill.data.cifar import read_cifar10
from robustill.data.decode import FORMATS, color_mode, decode
from robustill.data.folder import read_folder
from robustill.data.idx import read_idx
from robustill.data.npz import read_npz
from robustill.data.parquet import read_parquet_folder
from robustill.data.pickles import read_pickle
from robustill.errors import RobustillError
from tests.fuzz.examples import damaged, fuzzed, ours, written

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)


def image(form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(stream, form)
    return stream.getvalue()


def idx() -> bytes:
    return struct.pack(">HBB3I", 0, 8, 3, 4, 6, 6) + PIXELS[..., 0].tobytes()


def batch(count: int = 2, protocol: int = 2) -> bytes:
    rows = np.zeros((count, 3072), np.uint8)
    return pickle.dumps({b"data": rows, b"labels": list(range(count))}, protocol=protocol)


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x_train=PIXELS, y_train=[0, 1, 0, 1], x_test=PIXELS, y_test=[0, 1, 0, 1])
    return stream.getvalue()


def parquet() -> bytes:
    stream = io.BytesIO()
    rows = [{"bytes": image(), "path": f"{k}.png"} for k in range(4)]
    pq.write_table(pa.table({"image": rows, "label": [0, 1, 0, 1]}), stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@fuzzed(150)
@given(st.one_of(damaged(idx()), st.binary(max_size=40).map(lambda end: b"\0\0\x08\x03" + end)))
def test_idx(place: Path, content: bytes) -> None:
    found = ours(lambda: read_idx(written(place, "train-images-idx3-ubyte", content), ndim=3))
    assert isinstance(found, RobustillError) or found.size == len(content) - 16


@fuzzed(60)
@given(damaged(gzip.compress(idx(), mtime=0)))
def test_zipped_idx(place: Path, content: bytes) -> None:
    ours(lambda: read_idx(written(place, "train-images-idx3-ubyte.gz", content), ndim=3))


@fuzzed(150)
@given(st.one_of(*(damaged(batch(protocol=protocol)) for protocol in (0, 2, 4))))
def test_a_cifar_batch(place: Path, content: bytes) -> None:
    folder = place / "cifar"
    for name in (f"data_batch_{k}" for k in range(1, 6)):
        written(folder, name, batch())
    written(folder, "test_batch", content)
    ours(lambda: read_cifar10(folder))


OPERATIONS = [bytes((code,)) for code in range(0x20, 0x98)]


@fuzzed(200)
@given(st.lists(st.one_of(st.sampled_from(OPERATIONS), st.binary(max_size=3)), max_size=30))
def test_operations_of_a_pickle(place: Path, operations: list[bytes]) -> None:
    path = written(place, "batch", b"\x80\x02}" + b"".join(operations) + b".")
    found = ours(lambda: read_pickle(path))
    assert isinstance(found, dict | RobustillError)


@fuzzed(60)
@given(damaged(npz()))
def test_a_numpy_archive(place: Path, content: bytes) -> None:
    ours(lambda: read_npz(written(place, "data.npz", content)))


@fuzzed(80)
@given(st.text(alphabet="{}()[]'\":,<>|fiuOVS0123456789 descrhapotn_order TrueFals", max_size=90))
def test_the_header_of_a_numpy_array(place: Path, header: str) -> None:
    import zipfile

    text = header.encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)
    with zipfile.ZipFile(place / "head.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", array)
    ours(lambda: read_npz(place / "head.npz"))


@fuzzed(60)
@given(damaged(parquet()))
def test_a_parquet_file(place: Path, content: bytes) -> None:
    folder = place / "table"
    written(folder, "train.parquet", content)

    def read() -> int:
        source = read_parquet_folder(folder).train
        return sum(source[k][0].nbytes for k in range(len(source)))

    ours(read)


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"PPM"}))
@fuzzed(25)
@given(data=st.data())
def test_an_image(place: Path, form: str, data: st.DataObject) -> None:
    content = data.draw(damaged(image(form)))
    found = ours(lambda: decode(content, "here", color_mode(content, "here")))
    assert isinstance(found, RobustillError) or found.dtype == np.uint8


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=12)


@fuzzed(25)
@given(
    names=st.sets(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3), content=damaged(image())
)
def test_a_folder_of_images(tmp_path_factory: pytest.TempPathFactory, names: set[str], content: bytes) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for name in names:
        written(folder, f"{name}/0.png", image())
        written(folder, f"{name}/1.png", content)

    def read() -> int:
        source = read_folder(folder).train
        return sum(source[k][0].nbytes for k in range(len(source)))

    ours(read)
