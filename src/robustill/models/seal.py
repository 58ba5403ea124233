"""Safetensors with a checksum: the format itself does not notice a flipped bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from robustill.errors import ModelError, nearest_path
from robustill.writing import write_whole

SEAL = "robustill.sha256"
"""The key of the metadata that holds the checksum."""

_BLANK = "0" * 64
# Larger than any network here; a file of holes may claim as much as it likes.
_MOST_BYTES = 2**34
_MOST_HEADER = 10**8


def save_sealed(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> str:
    """Write tensors to a safetensors file with a checksum over all of it, at once; return the SHA-256 of the file.

    Raises:
        WriteError: The disk is full, or the folder cannot be written.
    """
    packed = safetensors.torch.save(dict(tensors))
    found, start = header(packed)
    # Sorted, so that equal metadata give equal bytes.
    about = dict(sorted({**metadata, SEAL: _BLANK}.items()))
    head = json.dumps({"__metadata__": about, **found}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    size, body = len(head).to_bytes(8, "little"), memoryview(packed)[start:]
    digest = hashlib.sha256(size + head)
    digest.update(body)
    # In place: the checksum is of the file with zeros where it stands.
    head = head.replace(_field(_BLANK), _field(digest.hexdigest()), 1)
    return write_whole(path, [size, head, body])


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of any safetensors file; one with a checksum must fit it.

    Raises:
        ModelError: The file is missing, truncated, damaged or not in this format.
    """
    try:
        packed = _read(path)
        # The library checks the header (its length, offsets and types) before it is used here.
        tensors: dict[str, Tensor] = safetensors.torch.load(packed)
        found, start = header(packed)
        metadata: dict[str, str] = found.get("__metadata__", {})
        seal = metadata.pop(SEAL, None)
    except FileNotFoundError as error:
        raise ModelError(f"no such file: {path}", nearest_path(path)) from error
    except ModelError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ModelError(
            f"{path} is not a complete safetensors file: {reason}", hint="copy or download it again"
        ) from error
    if seal is not None:
        digest = hashlib.sha256(packed[:start].replace(_field(seal), _field(_BLANK), 1))
        digest.update(memoryview(packed)[start:])
        if digest.hexdigest() != seal:
            raise ModelError(
                f"{path} is damaged or was changed: its checksum does not fit its content",
                hint="copy or download it again, or make it anew",
            )
    return tensors, metadata


def header(packed: bytes) -> tuple[dict[str, Any], int]:
    """Return the header of safetensors bytes and where their data starts.

    Raises:
        ValueError: It is no JSON object, or has a key twice.
    """
    start = 8 + int.from_bytes(packed[:8], "little")
    found = json.loads(packed[8:start], object_pairs_hook=_once)
    if not isinstance(found, dict):
        raise ValueError("the header is no JSON object")
    return found, start


def _read(path: Path) -> bytes:
    """Return the bytes of a file whose size is what its header claims; nothing is read before that is known."""
    with path.open("rb") as file:
        claimed, size = int.from_bytes(file.read(8), "little"), path.stat().st_size
        if size > _MOST_BYTES:
            raise ValueError(f"{size} bytes are more than any network here has")
        if not 0 < claimed <= min(_MOST_HEADER, size - 8):
            raise ValueError(f"its header claims {claimed} bytes, the file has {size}")
        file.seek(0)
        return file.read()


def _field(value: str) -> bytes:
    return f'"{SEAL}":{json.dumps(value)}'.encode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the header has a key twice")
    return found
