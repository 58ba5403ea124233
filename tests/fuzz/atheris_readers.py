"""Guided by coverage, which random damage is not: the readers that are written in Python, fuzzed with atheris.

    pip install atheris          # Python 3.11 to 3.13, Linux and macOS
    python tests/fuzz/atheris_readers.py idx|pickle|header|metadata|recipe [-max_total_time=600] [CORPUS_FOLDER]

A finding is an error that is none of robustill's; atheris then prints the traceback and writes the input to a file.
pytest does not collect this file: it runs until it is stopped.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["robustill", "tomllib"]):
    from robustill.data.idx import read_idx
    from robustill.data.pickles import read_pickle
    from robustill.errors import RobustillError
    from robustill.models.metadata import decode
    from robustill.models.seal import read_sealed
    from robustill.recipe import load_recipe

PLACE = Path(tempfile.mkdtemp(prefix="fuzz-"))


def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def target(content: bytes) -> object:
        path = PLACE / name
        path.write_bytes(content)
        return read(path)

    return target


GOOD = {
    "architecture": "wide_resnet", "arguments": '{"depth": 10}', "num_classes": "3", "shape": "[1, 8, 8]",
    "class_names": "null", "input_range": "[0,1]", "mean": "null", "std": "null", "format": "robustill/1",
}  # fmt: skip


def metadata(content: bytes) -> object:
    """Most values are good ones, or no input would come past the first check."""
    draw = atheris.FuzzedDataProvider(content)
    changed = {key: draw.ConsumeUnicodeNoSurrogates(24) for key in GOOD if draw.ConsumeIntInRange(0, 3) == 0}
    return decode({**GOOD, **changed}, "here")


def framed(content: bytes) -> bytes:
    """Return a file whose header is `content` up to a zero byte, and whose data is the rest."""
    head, _, data = content.partition(b"\0")
    return len(head).to_bytes(8, "little") + head + data


TARGETS: dict[str, Callable[[bytes], object]] = {
    "idx": in_file("images", lambda path: read_idx(path, ndim=3)),
    "pickle": in_file("batch", read_pickle),
    "header": lambda content: in_file("x.safetensors", lambda path: read_sealed(path))(framed(content)),
    "metadata": metadata,
    "recipe": in_file("recipe.toml", lambda path: load_recipe(path)),
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]

    def once(content: bytes) -> None:
        with contextlib.suppress(RobustillError):
            target(content)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
