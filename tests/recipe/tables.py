"""A small valid recipe, and ways to spoil it."""

from pathlib import Path
from typing import Any

import torch

from robustill.models import build_model, save_model

PLAIN: dict[str, Any] = {
    "data": {"name": "digits"},
    "student": {"architecture": "cnn_small"},
    "method": {"name": "rslad"},
    "teachers": {"teacher": "nowhere"},
}


def write(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text)
    return path


def with_key(key: str, value: Any) -> dict[str, Any]:
    """Return `PLAIN` with the dotted `key` set to `value`."""
    tree: dict[str, Any] = {name: dict(table) for name, table in PLAIN.items()}
    *path, last = key.split(".")
    table = tree
    for part in path:
        table = table.setdefault(part, {})
    table[last] = value
    return tree


def tree(method: dict[str, Any], teachers: dict[str, Any] | None = None, **tables: Any) -> dict[str, Any]:
    """Return a recipe for digits with this `[method]`, these `[teachers]` and further tables."""
    return {**PLAIN, "method": method, "teachers": teachers or {}, **tables}


def teacher(path: Path) -> Path:
    """Save an untrained network for digits."""
    torch.manual_seed(7)
    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), path)
    return path
