"""The run that others are compared with."""

from pathlib import Path

import pytest

from robustill.data import Data
from tests.training.short_run import go, left_behind


@pytest.fixture
def whole(tiny_data: Data, tmp_path: Path) -> Path:
    """Return the folder of an undisturbed run."""
    go(tiny_data, tmp_path / "whole")
    names = ["last.previous.pt", "last.pt", "metrics.jsonl", "student.safetensors", "student_last.safetensors"]
    assert left_behind(tmp_path / "whole")["names"] == names
    return tmp_path / "whole"
