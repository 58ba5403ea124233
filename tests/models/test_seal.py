"""Safetensors with a checksum: any flipped bit is noticed; absurd headers are one error."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import safetensors.torch
import torch

from robustill.errors import ModelError
from robustill.models import build_model, load_model, save_model
from robustill.models.seal import SEAL, read_sealed, save_sealed


def packed(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def entry(begin: int, end: int, shape: list[int]) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    save_sealed({"b": torch.arange(30.0), "a": torch.ones(3, 2)}, tmp_path / "x.safetensors", {"about": "it"})
    return tmp_path / "x.safetensors"


def test_what_was_written_is_read(sealed: Path) -> None:
    tensors, metadata = read_sealed(sealed)
    assert metadata == {"about": "it"}
    assert torch.equal(tensors["b"], torch.arange(30.0))
    with safetensors.safe_open(sealed, "pt") as file:
        assert len(file.metadata()[SEAL]) == 64


def test_any_flipped_bit_is_noticed(sealed: Path) -> None:
    whole, generator = sealed.read_bytes(), random.Random(0)
    for position in range(len(whole)):
        content = bytearray(whole)
        content[position] ^= 1 << generator.randrange(8)
        sealed.write_bytes(content)
        try:
            tensors, metadata = read_sealed(sealed)
        except ModelError:
            continue
        # What is lost is the name of the checksum, and nothing else.
        assert whole.index(SEAL.encode()) <= position < whole.index(SEAL.encode()) + len(SEAL)
        assert torch.equal(tensors["b"], torch.arange(30.0))
        assert metadata["about"] == "it"


def test_a_flipped_bit_of_a_student_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    save_model(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)), path, class_names=["a", "b", "c"])
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for position in (start + 4, len(whole) - 3, whole.index(b'\\"a\\"') + 2):
        content = bytearray(whole)
        content[position] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelError, match="checksum does not fit its content"):
            load_model(path)


def test_files_of_before_checksums_and_of_other_code_are_read(sealed: Path) -> None:
    safetensors.torch.save_file({"w": torch.zeros(2)}, sealed, metadata={"about": "it"})
    assert read_sealed(sealed)[1] == {"about": "it"}
    safetensors.torch.save_file({"w": torch.zeros(2)}, sealed)
    assert read_sealed(sealed)[1] == {}


def test_equal_contents_give_equal_bytes(sealed: Path, tmp_path: Path) -> None:
    save_sealed({"a": torch.ones(3, 2), "b": torch.arange(30.0)}, tmp_path / "y", {"about": "it"})
    assert (tmp_path / "y").read_bytes() == sealed.read_bytes()


HEADERS = {
    "a length of exabytes": b"\xff" * 7 + b"\x7f{}",
    "a length of 1 GB": (10**9).to_bytes(8, "little") + b"{}",
    "no length": bytes(8) + b"{}",
    "no JSON": packed(b"no JSON at all"),
    "no object": packed(b"[1, 2]"),
    "deep nesting": packed(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "overlapping offsets": packed(json.dumps({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}).encode(), bytes(12)),
    "negative offsets": packed(json.dumps({"a": entry(-8, 0, [2])}).encode(), bytes(8)),
    "offsets behind the end": packed(json.dumps({"a": entry(0, 4 * 10**12, [10**12])}).encode(), bytes(8)),
    "a shape that overflows": packed(json.dumps({"a": entry(0, 8, [2**33, 2**33])}).encode(), bytes(8)),
    "negative shape": packed(json.dumps({"a": entry(0, 8, [-2])}).encode(), bytes(8)),
    "a hole": packed(json.dumps({"a": entry(0, 8, [2]), "b": entry(16, 24, [2])}).encode(), bytes(24)),
    "a tensor twice": packed(b'{"a":%s,"a":%s}' % ((json.dumps(entry(0, 8, [2])).encode(),) * 2), bytes(8)),
    "metadata twice": packed(b'{"__metadata__":{"x":"1"},"__metadata__":{"x":"2"}}'),
    "a metadata key twice": packed(b'{"__metadata__":{"x":"1","x":"2"}}'),
    "metadata of numbers": packed(b'{"__metadata__":{"x":1}}'),
    "unknown type": packed(json.dumps({"a": {**entry(0, 8, [2]), "dtype": "PY"}}).encode(), bytes(8)),
}


@pytest.mark.parametrize("name", HEADERS)
def test_absurd_headers_are_one_clear_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(HEADERS[name])
    with pytest.raises(ModelError, match="is not a complete safetensors file") as caught:
        load_model(path)
    assert len(str(caught.value)) < 600


def test_a_file_of_holes_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    header = json.dumps({"a": entry(0, 2**40, [2**38])}).encode()
    with path.open("wb") as file:
        file.write(packed(header))
        file.truncate(8 + len(header) + 2**40)
    with pytest.raises(ModelError, match="more than any network"):
        read_sealed(path)
