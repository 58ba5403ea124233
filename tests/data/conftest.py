"""Small data sets, written by the tests that read them."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robustill.data import Data


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Encode an image: png(pixels) -> bytes."""

    def encode(pixels: np.ndarray, form: str = "PNG") -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form)
        return stream.getvalue()

    return encode


@pytest.fixture
def random_pixels() -> Callable[..., np.ndarray]:
    def draw(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return draw


@pytest.fixture
def toy(random_pixels: Callable[..., np.ndarray]) -> Data:
    """47 training images (5 held out) and 12 test images, 3x6x5, 4 classes."""
    labels = np.arange(47) % 4
    return Data.from_arrays(
        (random_pixels(47, 3, 6, 5), labels),
        (random_pixels(12, 3, 6, 5, seed=1), np.arange(12) % 4),
        validation=5,
    )


@pytest.fixture
def write_idx() -> Callable[..., np.ndarray]:
    """Write the four files of an MNIST-like set into a folder; returns the training pixels."""

    def write(folder: Path, *, zipped: bool = False, side: int = 28) -> np.ndarray:
        folder.mkdir(parents=True, exist_ok=True)
        train = np.random.default_rng(0).integers(0, 256, (30, side, side), dtype=np.uint8)
        for stem, pixels in (("train", train), ("t10k", train[:20] // 2)):
            labels = (np.arange(len(pixels)) % 10).astype(np.uint8)
            images = struct.pack(">HBB3I", 0, 8, 3, *pixels.shape) + pixels.tobytes()
            classes = struct.pack(">HBBI", 0, 8, 1, len(labels)) + labels.tobytes()
            for name, payload in (("images-idx3", images), ("labels-idx1", classes)):
                path = folder / f"{stem}-{name}-ubyte{'.gz' if zipped else ''}"
                path.write_bytes(gzip.compress(payload) if zipped else payload)
        return train

    return write


@pytest.fixture
def write_tree(png: Callable[..., bytes]) -> Callable[..., None]:
    """Write <folder>/<class>/<number>.png, each image filled with a gray of its own."""

    def write(folder: Path, classes: dict[str, int], side: int = 4, base: int = 0) -> None:
        for number, (name, count) in enumerate(classes.items()):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for image in range(count):
                pixels = np.full((side, side, 3), base + 20 * number + image, dtype=np.uint8)
                (folder / name / f"{image}.png").write_bytes(png(pixels))

    return write


def _equal(left: object, right: object) -> bool:
    pairs = list(zip(list(left), list(right), strict=True))  # type: ignore[call-overload]
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs)


@pytest.fixture
def same_batches() -> Callable[[object, object], bool]:
    """Whether two iterators of (x, y) give as many and bit-equal batches."""
    return _equal
