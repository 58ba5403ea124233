"""Two processes share the images of a bracket, a certificate and the unlearnable set, and find what one finds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.diagnostics import sharing


@pytest.mark.slow
def test_two_processes_find_what_one_does(tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    start = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [*start, "-m", sharing.__name__, str(tmp_path / "two")]
    # From the root of the tests' package.
    root = Path(sharing.__file__).parents[2]
    run = subprocess.run(command, env=env, cwd=root, text=True, capture_output=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    counts = sharing.work(tmp_path / "one")
    shares = [json.loads((tmp_path / "two" / f"counts{rank}.json").read_text()) for rank in (0, 1)]
    # Three and two batches of each radius; every other image of each network.
    assert [share["calibrate"] for share in shares] == [[10, 10, 10, 10, 5, 5], [10, 10, 10, 10]]
    assert [share["certify"] for share in shares] == [[10, 10, 10, 10, 5, 5], [10, 10, 10, 10]]
    assert sum(shares[0]["unlearnable"]) + sum(shares[1]["unlearnable"]) == sum(counts["unlearnable"])
    assert all(0.3 < sum(share["unlearnable"]) / sum(counts["unlearnable"]) < 0.7 for share in shares)
    for name in ("calibrate/calibration", "certify/certification"):
        one, two = (json.loads((tmp_path / who / f"{name}.json").read_text()) for who in ("one", "two"))
        assert one.pop("seconds") > 0
        assert two.pop("seconds") > 0
        assert one == two
    for name in ("calibrate/calibration", "certify/certification", "unlearnable"):
        one, two = (load_file(tmp_path / who / f"{name}.safetensors") for who in ("one", "two"))
        assert one.keys() == two.keys()
        assert all(one[key].numpy().tobytes() == two[key].numpy().tobytes() for key in one), name
    left = {path.name for path in (tmp_path / "two").rglob("*.*") if path.is_file()}
    assert left == {path.name for path in (tmp_path / "one").rglob("*.*") if path.is_file()} | {
        "counts0.json", "counts1.json",
    }  # fmt: skip
    verdicts = load_file(tmp_path / "two" / "unlearnable.safetensors")
    assert any(0 < torch.count_nonzero(value) < value.numel() for value in verdicts.values())
