"""Result files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reported(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a result names as its origin; the others stand elsewhere in it."""
    return {key: value for key, value in settings.items() if key not in ("drawn", "norm", "images")}
