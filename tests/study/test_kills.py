"""A study and its cells are killed while they work; what comes out is what would have come out.

ROBUSTILL_KILLS=20 kills it 20 times instead of twice.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.study.killing import children, command, killed, tables, undisturbed
from tests.study.small import QUICK

RUNS = """
[runs.robust]
recipe = "digits_pgd-at_cnn-small"

[runs.rslad]
recipe = "digits_rslad_cnn-small"

[runs.trades]
recipe = "digits_trades_cnn-small"
"""
BASE = QUICK.replace("training.epochs = 1", "training.epochs = 2\ntraining.checkpoint_steps = 5")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "killed.toml"
    path.write_text(f"seeds = 1\nbaseline = 'trades'\n{BASE}\n{RUNS}")
    return path


def test_kills_change_nothing(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kills = int(os.environ.get("ROBUSTILL_KILLS", "2"))
    expected = undisturbed(file, tmp_path / "quiet")
    count = killed(file, tmp_path / "loud", kills)
    assert count["study"] + count["cell"] == kills
    outs = sorted((tmp_path / "loud").iterdir())
    assert len(outs) == count["finished"] + 1
    for out in outs:
        assert tables(out) == expected
        cells = list((out / "cells").iterdir())
        assert sorted(cell.name for cell in cells) == sorted(p.name for p in (tmp_path / "quiet" / "cells").iterdir())
        for path in out.rglob("*.json"):
            json.loads(path.read_text())
        for cell in cells:
            same = tmp_path / "quiet" / "cells" / cell.name / "student_last.safetensors"
            assert (cell / "student_last.safetensors").read_bytes() == same.read_bytes()
            assert not list(cell.rglob("failed.json"))


def test_an_interrupt_saves_and_the_same_command_goes_on(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [*command(file, out, "--jobs", "1"), "--set", "training.epochs=400"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    until = time.monotonic() + 120
    while not list(out.glob("cells/*/last.pt")) and time.monotonic() < until:
        time.sleep(0.05)
    (cell,) = children(process.pid)
    process.terminate()
    said, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "stopping: 1 running cells save themselves" in told
    assert "stopped; 0 of 3 cells are done" in told
    assert "the same command goes on" in told
    assert said == ""
    assert not Path(f"/proc/{cell}").exists()
    (folder,) = (path for path in out.glob("cells/*") if (path / "last.pt").exists())
    assert not (folder / "failed.json").exists()
    assert not (folder / "trained.json").exists()
    assert "stopped at epoch" in (folder / "log.txt").read_text()
