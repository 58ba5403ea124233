"""Hostile and broken data: one clear error each, nothing executed, memory in proportion to the file."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from robustill.data import load_data
from robustill.data.decode import color_mode, decode
from robustill.data.pickles import read_pickle
from robustill.errors import DataError, InputError


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width: int, height: int, depth: int, kind: int, row: bytes, rows: int = 4) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress((b"\0" + row) * rows)) + chunk(b"IEND", b"")


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (raw_png(4, 4, 16, 2, bytes(24)), "more than 8 bits"),
        (raw_png(4, 4, 16, 6, bytes(32)), "more than 8 bits"),
        (raw_png(4, 4, 16, 0, bytes(8)), "more than 8 bits"),
        (b"P6 2 2 65535\n" + bytes(24), "more than 8 bits"),
        (b"P6 2 2 1023\n" + bytes(24), "more than 8 bits"),
        (raw_png(40_000, 40_000, 8, 2, bytes(12)), "too many"),
        (raw_png(9_000, 9_000, 8, 2, bytes(12)), "too many"),
        (raw_png(2**31 - 1, 2**31 - 1, 8, 2, bytes(12)), "too many|not a readable image"),
        (raw_png(0, 4, 8, 2, b""), "not a readable image"),
        (raw_png(4, 4, 8, 2, bytes(12))[:48], "not a readable image"),
        (b"GIF89a" + b"\xff" * 40, "not a readable image"),
        (b"BM" + b"\xff" * 80, "not a readable image"),
        (b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\0" * 40, "not a readable image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", "unknown format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "unknown format"),
        (b"", "unknown format"),
    ],
)
def test_images_that_are_none(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"^here: .*({message})"):
        decode(content, "here", color_mode(content, "here"))


def test_text_in_a_png_does_not_fill_the_memory() -> None:
    bomb = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(20 * 2**20)))
    content = raw_png(4, 4, 8, 2, bytes(12))
    content = content[:33] + bomb + content[33:]
    with pytest.raises(DataError, match="here: not a readable image"):
        decode(content, "here", "RGB")


def test_other_kinds_of_images_are_brought_to_rgb_or_gray() -> None:
    colors = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8))
    frames = [Image.new("P", (4, 4), number) for number in range(3)]
    forms = {
        "palette": encoded(colors.quantize(8), "PNG"),
        "palette with transparency": encoded(colors.quantize(8), "PNG", transparency=b"\x00\x80\xff"),
        "cmyk": encoded(colors.convert("CMYK"), "JPEG"),
        "bilevel": encoded(colors.convert("1"), "PNG"),
        "gray and alpha": encoded(colors.convert("LA"), "PNG"),
        "animated": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
    }
    for name, content in forms.items():
        mode = color_mode(content, name)
        assert mode == ("L" if name in ("bilevel", "gray and alpha") else "RGB"), name
        for wanted in ("L", "RGB"):
            assert decode(content, name, wanted).shape == ((1 if wanted == "L" else 3), 4, 4)
    # Of an animation, the first frame.
    assert np.array_equal(decode(forms["animated"], "a", "RGB"), decode(encoded(frames[0], "GIF"), "b", "RGB"))


def tupled(depth: int) -> bytes:
    """Return a pickle whose key takes 2^depth steps to hash."""
    body = b"".join(b"h%ch%c\x86q%c0" % (k, k, k + 1) for k in range(depth))
    return b"\x80\x02}K\x01q\x000" + body + b"h%cK\x01s." % depth


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02]r\xff\xff\xff\x3f.",
        b"\x80\x02]p1073741823\n.",
        tupled(60),
        b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x01s.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x80\x02}\x8b\x88\x13\x00\x00" + b"\x7f" * 5000 + b"K\x01s.",
        b"\x80\x02]" + b"(" * 100_000 + b".",
    ],
    ids=["memo", "memo, text", "tuples", "copies", "bytes", "bytearray", "long key", "marks"],
)
def test_a_pickle_of_a_few_bytes_that_asks_for_much(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(content)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(DataError, match=r"batch: refused as image data"):
        read_pickle(tmp_path / "batch")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert time.process_time() - began < 20


def test_repeated_words_in_a_pickle_are_no_harm(tmp_path: Path) -> None:
    name = "a name that pickle writes once and then points at"
    (tmp_path / "batch").write_bytes(pickle.dumps({"a": [name] * 5, "b": name, "c": np.zeros(3, np.uint8)}))
    assert read_pickle(tmp_path / "batch")["a"] == [name] * 5


def parquet(path: Path, rows: int, **options: object) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.nulls(rows, kind), "label": pa.array(np.zeros(rows, np.int64))})
    pq.write_table(table, path, **options)


def test_a_small_parquet_file_of_very_many_rows(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", 3_000_000)
    assert (tmp_path / "train.parquet").stat().st_size < 300_000
    with pytest.raises(DataError, match=r"train.parquet: \d+ bytes cannot hold 3000000 images"):
        load_data("parquet", tmp_path)


def test_a_small_parquet_file_that_unpacks_to_very_much(tmp_path: Path) -> None:
    content = pa.array([{"bytes": bytes(50_000_000), "path": ""}])
    pq.write_table(pa.table({"image": content, "label": [0]}), tmp_path / "train.parquet", compression="zstd")
    with pytest.raises(DataError, match=r"train.parquet: \d+ bytes claim to hold \d+"):
        load_data("parquet", tmp_path)


class Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["object array", "array in a zip", "pickle in a zip", "bare .npy"])
def test_objects_in_numpy_files_are_not_unpickled(form: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "data.npz"
    objects = np.array([Runs(marker)], dtype=object)
    plain = {"y_train": [0], "x_test": np.zeros((1, 4, 4), np.uint8), "y_test": [0]}
    if form == "object array":
        np.savez(path, x_train=objects, **plain)
    elif form == "bare .npy":
        with path.open("wb") as file:
            np.save(file, objects, allow_pickle=True)
    else:
        np.savez(path, **plain)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("x_train.npy", pickle.dumps(Runs(marker)))
    says = "pickled Python objects, which are not loaded" if form == "object array" else "not a numpy archive of plain"
    with pytest.raises(DataError, match=says):
        load_data(str(path))
    assert not marker.exists()


def test_names_in_an_archive_write_nothing(tmp_path: Path) -> None:
    """No code here unpacks an archive; names that lead elsewhere are names of nothing."""
    path = tmp_path / "in" / "data.npz"
    path.parent.mkdir()
    arrays = {"x_train": np.zeros((10, 4, 4), np.uint8), "y_train": np.arange(10) % 2}
    np.savez(path, **arrays, x_test=arrays["x_train"], y_test=arrays["y_train"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../escaped.npy", b"x")
        archive.writestr("/tmp/robustill-escaped.npy", b"x")
    assert len(load_data(str(path), validation=0).train) == 10
    assert [each.name for each in tmp_path.iterdir()] == ["in"]
    assert not Path("/tmp/robustill-escaped.npy").exists()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.full((2, 4, 4), np.nan), [0, 1], "hold NaN"),
        (np.full((2, 4, 4), np.inf), [0, 1], "reach from inf to inf"),
        (np.zeros((2, 4, 4)), [0, -1], "label -1 is outside"),
        (np.zeros((2, 4, 4)), [0, 2**40], "label 1099511627776 is outside"),
        (np.zeros((2, 4, 4)), [0, 2**63 - 1], "is outside"),
        (np.zeros((2, 4, 4)), [0.0, np.nan], "must be integers"),
        (np.zeros((2, 0, 4)), [0, 1], "without a single pixel"),
    ],
)
def test_impossible_images_and_labels(images: object, labels: object, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises((DataError, InputError), match=message):
        load_data(str(tmp_path / "d.npz"))


def test_a_label_that_is_out_of_range_in_the_test_set(tmp_path: Path, random_pixels: Callable[..., np.ndarray]) -> None:
    pixels = random_pixels(12, 4, 4)
    np.savez(tmp_path / "d.npz", x_train=pixels, y_train=np.arange(12) % 3, x_test=pixels, y_test=np.full(12, 3))
    with pytest.raises(DataError, match=r"label 3 is outside 0\.\.2"):
        load_data(str(tmp_path / "d.npz"))


def test_a_saved_data_set_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../../../etc/passwd"}]}))
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match="the saved data set cannot be read"):
        load_data(f"hf-disk:{tmp_path}")


def test_files_that_are_no_files(tmp_path: Path, write_tree: Callable[..., None]) -> None:
    write_tree(tmp_path, {"a": 5, "b": 5})
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    data = load_data("folder", tmp_path, validation=0)
    assert len(data.train) + len(data.test) == 10
    assert torch.bincount(data.train.labels).tolist() == [4, 4]


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "/dev/zero", "/proc/self/mem", "\ud800", "hf-disk:" + "y" * 5000])
def test_names_that_are_no_data(name: str) -> None:
    with pytest.raises(DataError):
        load_data(name)
