"""What computed a result."""

from __future__ import annotations

import platform

import torch


def versions() -> dict[str, str]:
    """Return the versions of robustill, PyTorch and Python."""
    from robustill import __version__

    return {"robustill": __version__, "torch": torch.__version__, "python": platform.python_version()}
