"""The pickles of CIFAR, read without trusting them: nothing in the file can name a function to run."""

from __future__ import annotations

import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from robustill.errors import DataError

_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_MOST_NOTES = 100_000
_CODES = {"u1": np.uint8, "|u1": np.uint8}


class ByteArray:
    """Stands in for a numpy array while unpickling; takes shape and bytes only if they fit each other."""

    __slots__ = ("array",)

    def __setstate__(self, state: Any) -> None:
        _, shape, code, column_major, data = state
        if isinstance(data, str):
            data = data.encode("latin1")
        if not isinstance(code, _Code) or not isinstance(data, bytes) or math.prod(shape) != len(data):
            raise pickle.UnpicklingError("an array that is not made of bytes, or whose bytes do not fit its shape")
        flat = np.frombuffer(data, dtype=np.uint8)
        self.array: NDArray[np.uint8] = flat.reshape(shape, order="F" if column_major else "C")


class _Code:
    """Stands in for the numpy dtype of unsigned bytes; its pickled state has nothing to say."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


def _code(name: Any, *_: Any) -> _Code:
    text = name.decode("ascii") if isinstance(name, bytes) else name
    if text not in _CODES:
        raise pickle.UnpicklingError(f"an array of {text!r}; only unsigned bytes are expected")
    return _Code()


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("an encoding other than latin1")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Knows numbers, text, lists, dicts and arrays of bytes; the four names that arrays need are our own."""

    def find_class(self, module: str, name: str, /) -> Any:
        # Fresh closures, not the functions themselves: a pickle may set attributes on what it is given.
        allowed: dict[tuple[str, str], Callable[..., Any] | str] = {
            **{(core, "_reconstruct"): lambda *_: ByteArray() for core in _CORES},
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): lambda *args: _code(*args),
            ("_codecs", "encode"): lambda *args: _encode(*args),
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which image data does not need")
        return allowed[module, name]


def _check_operations(file: BinaryIO) -> None:
    """Refuse what image data does not need and what costs far more to read than to write.

    A number in a few bytes can make the memory of an unpickler as large as it likes, and tuples that hold each other
    twice, again and again, take forever to hash. A tuple of image data is used once.
    """
    noted: dict[int, str] = {}
    before, memoized = "", 0
    for operation, argument, _ in pickletools.genops(file):
        name = operation.name
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = memoized if name == "MEMOIZE" else int(argument or 0)
            if not 0 <= place < _MOST_NOTES:
                raise pickle.UnpicklingError(f"it asks for a memory of {place} places")
            noted[place], memoized = before, memoized + 1
            continue
        fetched = noted.get(int(argument or 0), "") if name in ("GET", "BINGET", "LONG_BINGET") else ""
        if name == "DUP" or "TUPLE" in fetched:
            raise pickle.UnpicklingError("it uses a tuple twice, which image data does not")
        before = fetched or name


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a CIFAR batch file; byte strings become text, arrays are `ByteArray`.

    Raises:
        DataError: Not such a pickle, or one that asks for anything but data. Nothing in it is executed.
    """
    try:
        with path.open("rb") as file:
            _check_operations(file)
            file.seek(0)
            found = _Unpickler(file, encoding="bytes").load()
            if not isinstance(found, dict):
                raise DataError(f"{path}: expected a dictionary, found {type(found).__name__}")
            return {_text(key): value for key, value in found.items()}
    except DataError:
        raise
    # A hostile or broken pickle may raise anything, down to MemoryError and RecursionError.
    except Exception as problem:
        raise DataError(f"{path}: refused as image data ({problem})") from problem


def _text(word: Any) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
