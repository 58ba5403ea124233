"""Digests that identify a file and a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from robustill.models.frozen import Frozen


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     print(file_digest(file.name)[:12])
    e3b0c44298fc
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_digest(model: nn.Module) -> str:
    """Return the SHA-256 over the names, shapes, types and bytes of a network's state dict, as 64 digits.

    It identifies a teacher whatever its source, device or memory layout; a `Frozen` network has the digest of the
    network it holds.

    >>> from torch import nn
    >>> len(model_digest(nn.Linear(2, 2)))
    64
    """
    network = model.network if isinstance(model, Frozen) else model
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()
