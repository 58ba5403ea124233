"""What this machine and this installation can do, line by line: fine, worth knowing, or broken; and what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from robustill.diagnostics.machine import disk, machine, terminal
from robustill.errors import RobustillError

Status = Literal["ok", "warn", "fail"]

_EXTRAS = {
    "hub": (("datasets", "huggingface_hub"), "data and models of the Hugging Face hub"),
    "export": (("onnx", "onnxscript", "onnxruntime"), "ONNX files"),
    "track": (("tensorboard", "trackio"), "a live view of training"),
    "ray": (("ray",), "studies on a cluster"),
    "search": (("optuna",), "searches over settings"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: What was looked at.
        status: `"ok"`; `"warn"`: it works, but not as well as it could; `"fail"`: it does not work.
        says: What was found.
        do: What to do about it, or how to get more; empty if there is nothing.
    """

    name: str
    status: Status
    says: str
    do: str = ""


def installation(runs: Path) -> list[Finding]:
    """Return what there is: versions, machine, disk, terminal, data sets, extras.

    Args:
        runs: Folder that runs will go to.

    >>> [each.name for each in installation(Path("runs"))][:3]
    ['robustill', 'python', 'torch']
    """
    parts: tuple[Callable[[], Iterator[tuple[str, Status, str, str]]], ...] = (
        _versions, _packages, machine, lambda: disk(runs), terminal, _data, _extras,
    )  # fmt: skip
    return [Finding(*each) for part in parts for each in part()]


def _versions() -> Iterator[tuple[str, Status, str, str]]:
    from robustill import __version__

    yield "robustill", "ok", __version__, ""
    new = sys.version_info >= (3, 11)
    yield "python", "ok" if new else "fail", platform.python_version(), "" if new else "install Python 3.11 or newer"
    wanted = next((each for each in _requirements() if re.match(r"torch\b", each)), "")
    fits = torch.__version__.startswith("2.13.") or not wanted
    advice = "" if fits else f'robustill is tested with {wanted}: pip install "{wanted}"'
    yield "torch", "ok" if fits else "warn", torch.__version__, advice


def _requirements() -> list[str]:
    """Return what robustill needs as its package says; empty where it runs from a source tree."""
    try:
        found = importlib.metadata.requires("robustill") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [each for each in found if "extra ==" not in each]


def _packages() -> Iterator[tuple[str, Status, str, str]]:
    names = [re.split(r"[<>=!~;\[ ]", each)[0] for each in _requirements()]
    absent = []
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        yield "packages", "fail", f"missing: {', '.join(absent)}", f"pip install {' '.join(absent)}"
    elif names:
        yield "packages", "ok", f"all {len(names)} that robustill needs", ""


def _data() -> Iterator[tuple[str, Status, str, str]]:
    from robustill.data.known import CIFAR10, CIFAR100, FASHION_MNIST, MNIST, TINY_IMAGENET, located

    yield "data digits", "ok", "embedded", ""
    for known in (FASHION_MNIST, MNIST, CIFAR10, CIFAR100, TINY_IMAGENET):
        try:
            place, ways = located(known)
        except (OSError, RobustillError) as error:
            yield f"data {known.name}", "warn", f"cannot be looked for: {error}", "check the folder's permissions"
            continue
        if place is not None:
            yield f"data {known.name}", "ok", str(place), f"robustill doctor --data {known.name} reads and checks it"
        else:
            yield f"data {known.name}", "ok", "not here", ways


def _extras() -> Iterator[tuple[str, Status, str, str]]:
    for extra, (packages, purpose) in _EXTRAS.items():
        absent = [name for name in packages if importlib.util.find_spec(name) is None]
        if absent:
            for_it = f'for {purpose}: pip install "robustill[{extra}]"'
            yield f"extra {extra}", "ok", f"missing: {', '.join(absent)}", for_it
        else:
            yield f"extra {extra}", "ok", "installed", ""
