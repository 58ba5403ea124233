"""A run killed at random instants leaves what an undisturbed one leaves; benchmarks/kills.py does it 50 times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the benchmark forks")
def test_three_random_kills_change_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--kills", "3", "--seed", "1", "--json", str(tmp_path / "kills.json")]
    run = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (found,) = json.loads((tmp_path / "kills.json").read_text())["rows"]
    assert found["wrong"] == []
    assert sum(found["hits"].values()) == 3
