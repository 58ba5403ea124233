"""Result files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def reported(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a result names as its origin; the others stand elsewhere in it."""
    return {key: value for key, value in settings.items() if key not in ("drawn", "norm", "images")}


def write_json(values: dict[str, Any], path: Path) -> None:
    """Write a JSON file, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
