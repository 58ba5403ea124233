"""robustill: adversarial distillation of small image classifiers.

The names below are loaded on first use, so that `import robustill` and the command line's help stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "load_model": "robustill.models",
    "save_model": "robustill.models",
    "load_data": "robustill.data",
    "train": "robustill.training",
    "evaluate": "robustill.evaluation",
}

__all__ = ["__version__", "evaluate", "load_data", "load_model", "save_model", "train"]

if TYPE_CHECKING:
    from robustill.data import load_data
    from robustill.evaluation import evaluate
    from robustill.models import load_model, save_model
    from robustill.training import train


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'robustill' has no attribute {name!r}")


def __dir__() -> list[str]:
    # What loads on first use is no attribute yet, and completion in a shell or notebook asks here.
    return sorted({*globals(), *__all__})
