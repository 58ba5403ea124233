"""A network of one's own, once it has a name, in the verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustill.models import MODELS, load_model
from tests.cli.command import Robustill, refused
from tests.models.test_own_network import flat

QUICK = ("--set", "training.epochs=1", "--set", "data.limit=100", "--set", "student.architecture=flat")


def test_it_is_trained_attacked_and_exported_by_its_name(
    robustill: Robustill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "flat", flat)
    run = tmp_path / "run"
    robustill("train", "digits_standard_cnn-small", *QUICK, "--set", "student.arguments.width=7", "--out", run)
    assert load_model(run).spec.arguments == {"width": 7}
    found = robustill("evaluate", run, "--eps", 0.1, "--attacks", "fgsm", "--images", 20, "--json").json
    assert found["images"] == 20
    robustill("export", run, "--formats", "safetensors", "--out", tmp_path / "out")
    assert "flat" in (tmp_path / "out" / "README.md").read_text()
    mistake = robustill("train", "digits_standard_cnn-small", *QUICK, "--set", "student.arguments.widht=7")
    refused(mistake, "flat has no argument 'widht'", "did you mean 'width'?")
