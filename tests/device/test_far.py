"""Nothing mixes devices: what is computed away from the CPU is what the CPU computes.

No GPU is needed: see `far`. One process of its own computes everything on both devices.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.device.both import CASES


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    return [each for part in value for each in numbers(part)] if isinstance(value, list) else [value]


@pytest.mark.slow
def test_another_device_computes_the_same() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.device.both"], capture_output=True, text=True, check=False, timeout=600,
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    assert found.keys() == CASES.keys()
    # Such a mistake would be seen.
    assert "expected all tensors on one device" in found.pop("forgetful")["error"]
    assert {name: each["error"] for name, each in found.items() if "error" in each} == {}
    for name, each in found.items():
        assert numbers(each["far"]) == pytest.approx(numbers(each["cpu"]), rel=1e-4, abs=1e-6), name
