"""What `evaluate` put below `evaluations/` is on the page too, if it is of the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robustill.errors import CheckpointError
from robustill.report import build_page
from tests.report import folders
from tests.report.parsed import Parsed

CAPTION = "Other evaluations of these weights, accuracy in %"


def other(run: Path, name: str, **changes: Any) -> Path:
    content = {**folders.evaluation(pgd20=folders.PGD), "threat": {"norm": "L2", "eps": 0.5}, **changes}
    path = run / "evaluations" / name / "evaluation.json"
    folders.write(path, content)
    return path


def test_other_radii_and_images_are_a_table(tmp_path: Path) -> None:
    run = folders.run(tmp_path / "run")
    other(run, "b")
    other(run, "a", split="validation", threat={"norm": "Linf", "eps": 0.05}, data="cats\x1b[2J")
    other(run, "stale", model_digest="f" * 64)
    page = build_page([run])
    rows = Parsed(page.to_html()).cells(CAPTION)
    assert rows == [
        ["attacks", "threat", "images", "no attack", "worst case", "95% interval"],
        ["pgd20", "Linf eps 0.05", r"40 validation images of cats\x1b[2J", "90.00", "55.00", "42.5 to 61.3"],
        ["pgd20", "L2 eps 0.5", "40 test images of pets", "90.00", "55.00", "42.5 to 61.3"],
    ]
    assert CAPTION in page.to_markdown()


def test_a_run_with_one_evaluation_says_nothing_of_others(tmp_path: Path) -> None:
    assert CAPTION not in build_page([folders.run(tmp_path / "run")]).to_html()


@pytest.mark.parametrize("content", ["{", "[]", {"threat": None}, {"robust": {}}, {"attacks": 7}], ids=str)
def test_a_damaged_one_is_named(content: Any, tmp_path: Path) -> None:
    run = folders.run(tmp_path / "run")
    path = other(run, "a")
    if isinstance(content, str):
        path.write_text(content)
    else:
        folders.write(path, {**json.loads(path.read_text()), **content})
    with pytest.raises(CheckpointError, match="cannot be read") as told:
        build_page([run])
    assert str(path) in told.value.message
    assert "robustill evaluate" in str(told.value.hint)
