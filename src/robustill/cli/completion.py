"""What a shell offers when Tab is pressed: recipes, runs, attacks, data sets. Imports nothing that takes time."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from robustill.shipped import shipped_models, shipped_recipes
from robustill.terminal import printable

ATTACKS = (
    "fgsm", "pgd10", "pgd20", "pgd50", "pgd20_trades", "cw", "apgd-ce", "apgd-dlr", "square", "autoattack",
    "autoattack-fast", "autoattack-rand",
)  # fmt: skip
DATA = ("cifar10", "cifar100", "digits", "fashion-mnist", "mnist", "tiny-imagenet")
LISTS = ("methods", "models", "data", "recipes")
TRACKERS = ("tensorboard", "trackio")

# Runs of a study lie in OUT/cells/NAME; looking further, or at more folders, would be felt.
_DEPTH, _FOLDERS = 4, 3000
_METHOD = "method.name="


def recipes(incomplete: str) -> list[tuple[str, str]]:
    """Return shipped recipes with their titles, files of recipes, and runs."""
    shipped = [(name, _title(path)) for name, path in shipped_recipes().items() if name.startswith(incomplete)]
    own = [*_files(incomplete, (".toml",)), *_runs(incomplete)]
    return [*shipped, *((path, "") for path in own)]


def models(incomplete: str) -> list[str]:
    """Return runs, files of weights, and the models that come with robustill."""
    own = [name for name in map("robustill:{}".format, shipped_models()) if name.startswith(incomplete)]
    return [*_runs(incomplete), *_files(incomplete, (".safetensors",)), *own]


def runs(incomplete: str) -> list[str]:
    """Return run folders, those with a recipe or with results."""
    return list(_runs(incomplete, ("recipe.toml", "landscape.json", "teachers.json", "unlearnable.json")))


def studies(incomplete: str) -> list[str]:
    """Return files of studies."""
    return list(_files(incomplete or "studies/", (".toml",))) or list(_files(incomplete, (".toml",)))


def settings(incomplete: str) -> list[str]:
    """Return methods as `--set` takes them."""
    return [f"{_METHOD}{name}" for name in methods() if f"{_METHOD}{name}".startswith(incomplete)]


def listed(names: tuple[str, ...], incomplete: str) -> list[str]:
    """Return the names that begin like the last of a comma-separated list, behind the others.

    >>> listed(("fgsm", "pgd20", "cw"), "cw,p")
    ['cw,pgd20']
    """
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in taken]


def attacks(incomplete: str) -> list[str]:
    """Return attacks, for a comma-separated list."""
    return listed(ATTACKS, incomplete)


def trackers(incomplete: str) -> list[str]:
    """Return trackers, for a comma-separated list."""
    return listed(TRACKERS, incomplete)


def data(incomplete: str) -> list[str]:
    """Return data sets known by name."""
    return [name for name in DATA if name.startswith(incomplete)]


def lists(incomplete: str) -> list[str]:
    """Return what there are lists of."""
    return [name for name in LISTS if name.startswith(incomplete)]


def methods() -> list[str]:
    """Return the names of the methods, read from the text of their table: importing it would import torch."""
    text = (Path(__file__).parents[1] / "methods" / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if (
            isinstance(node, ast.AnnAssign)
            and ast.unparse(node.target) == "METHODS"
            and isinstance(node.value, ast.Dict)
        ):
            return [str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]
    return []


def _title(path: Path) -> str:
    found = re.search(r'^title = "([^"]*)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    return "" if found is None else found[1]


def _runs(incomplete: str, marks: tuple[str, ...] = ("recipe.toml",)) -> Iterator[str]:
    """Yield the folders below that hold one of these files and whose path begins so."""
    base = os.path.dirname(incomplete)
    waiting, seen = [(base, 0)], 0
    while waiting and seen < _FOLDERS:
        folder, depth = waiting.pop(0)
        seen += 1
        if folder != base and any(os.path.isfile(os.path.join(folder, mark)) for mark in marks):
            yield folder
        if depth < _DEPTH:
            below = (os.path.join(folder, name) for name in _entries(folder, folders=True))
            waiting += [(path, depth + 1) for path in below if path.startswith(incomplete)]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    base = os.path.dirname(incomplete)
    for name in _entries(base, folders=False):
        path = os.path.join(base, name)
        if path.startswith(incomplete) and name.endswith(suffixes):
            yield path


def _entries(folder: str, *, folders: bool) -> list[str]:
    """Return names that a shell can be given: those that would steer a terminal are left out."""
    try:
        with os.scandir(folder or ".") as found:
            names = [each.name for each in found if each.is_dir() is folders and not each.name.startswith(".")]
    except OSError:
        return []
    return sorted(name for name in names if printable(name) == name and "\n" not in name and "\t" not in name)
