"""A module of one's own in the working folder, and a process that has imported nothing before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robustill import plugins
from robustill.methods import METHODS
from robustill.models import MODELS

MODULE = """
from robustill.attacks import PGD
from robustill.losses import cross_entropy
from robustill.methods import METHODS, AdversarialMethod, Loss
from robustill.models import MODELS
from robustill.models.cnn import cnn_small


class Labelled(AdversarialMethod):
    def __init__(self, student, *, lam: float = 1.0, attack: PGD = PGD(eps=0.1, step_size=0.05, steps=1)):
        super().__init__()
        self.student, self.lam, self.attack = student, lam, attack

    def inner(self, x, y):
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x, x_adv, y):
        return Loss(self.lam * cross_entropy(self.student(x_adv), y), {})


def narrow(num_classes, shape):
    return cnn_small(num_classes, shape)


METHODS["labelled"] = Labelled
MODELS["narrow"] = narrow
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write `my_own.py` into the working folder; afterwards it was never imported."""
    monkeypatch.chdir(tmp_path)
    for name, empty in (("_imported", []), ("_registered", {}), ("_registered_by", {})):
        monkeypatch.setattr(plugins, name, empty)
    monkeypatch.setattr(sys, "path", [*sys.path])
    modules, tables = set(sys.modules), [(table, dict(table)) for table in (METHODS, MODELS)]
    path = tmp_path / "my_own.py"
    path.write_text(MODULE)
    yield path
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]
    for table, before in tables:
        table.clear()
        table.update(before)  # type: ignore[arg-type]
