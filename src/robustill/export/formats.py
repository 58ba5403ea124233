"""The formats of an export by name, the files they go to, and the packages they need."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable

from robustill.errors import InputError, MissingExtraError, nearest

FILES = {
    "safetensors": "model.safetensors",
    "onnx": "model.onnx",
    "int8": "model_int8.onnx",
    "torch-export": "model.pt2",
}
"""Formats, and what their files are called in every export."""

CARD, SUMMARY = "README.md", "export.json"
_OF_ONNX = ("onnx", "int8")


def check_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return the formats that are asked for, each once, in the order of `FILES`.

    Raises:
        InputError: None, or an unknown one.

    >>> check_formats(["onnx", "safetensors", "onnx"])
    ('safetensors', 'onnx')
    """
    asked = [name.strip() for name in names if name.strip()]
    for name in asked:
        if name not in FILES:
            raise InputError(f"unknown format {name!r}", nearest(name, FILES))
    if not asked:
        raise InputError("there is no format to export", f"choose from {', '.join(FILES)}")
    return tuple(name for name in FILES if name in asked)


def check_packages(formats: Iterable[str]) -> None:
    """Check that what these formats need can be imported.

    Raises:
        MissingExtraError: It cannot.
    """
    needs = [name for name in formats if name in _OF_ONNX]
    if not needs:
        return
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"{' and '.join(needs)} need the packages onnx, onnxscript and onnxruntime: {error}",
            'pip install "robustill[export]"',
        ) from error


def versions(formats: Iterable[str]) -> dict[str, str]:
    """Return the versions of everything that has a part in files of these formats."""
    names = ["torch", *(("onnx", "onnxscript", "onnxruntime") if set(formats) & set(_OF_ONNX) else ())]
    from robustill import __version__

    found = {"robustill": __version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in names}
