"""The figure of robust overfitting, from JSON written by hand."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from robustill.report.overfitting import draw_overfitting


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    scores = {"clean": [0.7, 0.8, 0.8], "robust": [0.3, 0.5, 0.4]}
    groups = {name: {"images": n, **scores} for name, n in (("learnable", 30), ("unlearnable", 20))}
    best, last = {"epoch": 3, "robust": 0.5}, {"epoch": 5, "robust": 0.4}
    common = {"epochs": [1, 3, 5], "best": best, "last": last, "gap": 0.1, "noise": 0.0489}
    return {**common, "validation": {"images": 400, **scores}, "train": groups, "rise": {}}


def test_it_says_what_it_shows(found: dict[str, Any], tmp_path: Path) -> None:
    draw_overfitting(found, tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text()
    for words in (
        "validation images (400)", "unlearnable training images (20)", ">learnable training images (30)",
        "robust accuracy 50.0 in epoch 4, 40.0 in the last: gap 10.0 (noise ±4.9)", "dashed: clean",
    ):  # fmt: skip
        assert words in text


def test_without_training_images(found: dict[str, Any], tmp_path: Path) -> None:
    found |= {"train": {}, "noise": None, "validation": {**found["validation"], "images": None}}
    draw_overfitting(found, tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text()
    assert "gap 10.0<" in text
    assert "training images" not in text
