"""IDX files (MNIST, Fashion-MNIST): read strictly, with or without gzip."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from robustill.data.sources import ArraySource, DataNotFoundError, RawData
from robustill.errors import DataError

_UINT8 = 0x08
_MAX_GZIP_RATIO = 1_032  # deflate cannot do better, so a larger claim is false
_CHUNK = 1 << 20
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def has_idx(root: Path) -> bool:
    """Whether there is any of the four IDX files in `root` or `root/raw`."""
    return any(_find(root, name) for names in _FILES.values() for name in names)


def read_idx_folder(root: Path) -> RawData:
    """Read the four IDX files of an MNIST-like data set from `root` or `root/raw`.

    Raises:
        DataNotFoundError: A file is missing.
        DataError: A file is malformed, or images and labels do not match.
    """
    missing = [name for names in _FILES.values() for name in names if not _find(root, name)]
    if missing:
        raise DataNotFoundError(f"{root}: missing {', '.join(f'{name}[.gz]' for name in missing)}")
    parts = [_read_part(root, *names) for names in _FILES.values()]
    return RawData("idx", str(root), parts[0], parts[1])


def _find(root: Path, name: str) -> Path | None:
    spellings = (name, name.replace("-idx", ".idx"))
    folders = (root, root / "raw")
    places = (folder / (word + end) for folder in folders for word in spellings for end in ("", ".gz"))
    return next((place for place in places if place.is_file()), None)


def _read_part(root: Path, images_name: str, labels_name: str) -> ArraySource:
    images_file, labels_file = _find(root, images_name), _find(root, labels_name)
    assert images_file is not None
    assert labels_file is not None
    images, labels = read_idx(images_file, ndim=3), read_idx(labels_file, ndim=1)
    if len(images) != len(labels):
        raise DataError(f"{images_file} holds {len(images)} images, {labels_file} {len(labels)} labels")
    return ArraySource(torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64)))


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes with `ndim` dimensions.

    Memory is only used for what is really in the file: the header's claim is checked first.

    Raises:
        DataError: Wrong magic number, dimensions or length, or broken gzip; the message names the file.
    """
    zipped = path.suffix == ".gz"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            return _parse(file, path, ndim, path.stat().st_size * (_MAX_GZIP_RATIO if zipped else 1))
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise DataError(f"{path}: broken gzip file ({problem})") from problem
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem})") from problem


def _parse(file: BinaryIO | gzip.GzipFile, path: Path, ndim: int, most: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * ndim)
    if len(header) < 4 + 4 * ndim:
        raise DataError(f"{path}: the IDX header is cut off after {len(header)} bytes")
    expected = bytes((0, 0, _UINT8, ndim))
    if header[:4] != expected:
        raise DataError(
            f"{path}: not an IDX file of {ndim} dimensions (magic {header[:4].hex()}, not {expected.hex()})"
        )
    shape = struct.unpack(f">{ndim}I", header[4:])
    length = math.prod(shape)
    if not length:
        raise DataError(f"{path}: the IDX header claims an empty array {shape}")
    if length > most:
        raise DataError(f"{path}: the IDX header claims {length} bytes {shape}, more than the file can hold")
    payload = bytearray()
    while len(payload) <= length and (block := file.read(min(_CHUNK, length + 1 - len(payload)))):
        payload += block
    if len(payload) != length:
        state = "cut off" if len(payload) < length else "too long"
        raise DataError(f"{path}: {state}; the IDX header claims {length} bytes {shape}")
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)
