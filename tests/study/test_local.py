"""Processes of this machine: how many at once, on which GPU, and how they end."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robustill.errors import InputError
from robustill.study import local
from robustill.study.folder import only_process
from robustill.study.local import Local, Machine
from robustill.study.table import Resources

EIGHT = Machine(cpus=8, memory_gb=32, gpus=("3", "5"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run this line of Python instead of a cell; argument 1 is the folder."""
    line = ["pass"]
    monkeypatch.setattr(local, "command", lambda folder: [sys.executable, "-c", line[0], str(folder)])
    return line


def ended(runner: Local, count: int = 1) -> dict[str, int]:
    found: dict[str, int] = {}
    until = time.monotonic() + 60
    while len(found) < count and time.monotonic() < until:
        found |= dict(runner.wait(1.0))
    return found


def test_cores_memory_and_jobs_limit_what_runs(script: list[str], tmp_path: Path) -> None:
    script[0] = "import time; time.sleep(60)"
    for jobs, resources, count in [
        (None, Resources(cpus=3), 2),
        (None, Resources(memory_gb=12), 2),
        (None, Resources(gpus=1), 2),
        (None, Resources(gpus=0.5), 4),
        (None, Resources(gpus=2), 1),
        (3, Resources(), 3),
        (3, Resources(cpus=8), 3),
    ]:
        runner = Local(EIGHT, jobs)
        try:
            for started in range(9):
                if not runner.fits(resources):
                    break
                runner.start(str(started), tmp_path, resources)
            assert started == count, resources
        finally:
            runner.close()


def test_a_cell_sees_its_gpu_and_its_threads_alone(script: list[str], tmp_path: Path) -> None:
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    script[0] = (
        f"import json, os, sys; found = [os.environ.get(n) for n in {names}];"
        "print(json.dumps(found), file=open(sys.argv[1] + '/seen', 'w'))"
    )
    wanted = {"a": Resources(gpus=1), "b": Resources(gpus=0.5, cpus=2), "c": Resources(gpus=0.5), "d": Resources()}
    runner, seen = Local(EIGHT), {}
    for key, resources in wanted.items():
        (tmp_path / key).mkdir()
        assert runner.fits(resources)
        runner.start(key, tmp_path / key, resources)
    assert ended(runner, 4) == dict.fromkeys(wanted, 0)
    seen = {key: json.loads((tmp_path / key / "seen").read_text()) for key in wanted}
    assert seen == {"a": ["3", "1"], "b": ["5", "2"], "c": ["5", "1"], "d": ["", "1"]}
    # What has ended has given its GPU back.
    assert runner.fits(Resources(gpus=2))


def test_more_than_there_is() -> None:
    runner = Local(EIGHT)
    with pytest.raises(InputError, match="x wants 3 GPUs, this machine has 2"):
        runner.check(Resources(gpus=3), "x")
    with pytest.raises(InputError, match=r"x wants 1.5 GPUs"):
        runner.check(Resources(gpus=1.5), "x")
    with pytest.raises(InputError, match="x wants 64 GB"):
        runner.check(Resources(memory_gb=64), "x")
    with pytest.raises(InputError, match="--jobs 0"):
        Local(EIGHT, 0)
    assert runner.fits(Resources(cpus=99))


def test_exit_codes_and_logs(script: list[str], tmp_path: Path) -> None:
    script[0] = (
        "import os, sys; print('said', flush=True);"
        "os.kill(os.getpid(), 9) if sys.argv[1].endswith('k') else sys.exit(4)"
    )
    runner = Local(EIGHT)
    for key in ("k", "e"):
        (tmp_path / key).mkdir()
        runner.start(key, tmp_path / key, Resources())
    assert ended(runner, 2) == {"k": -9, "e": 4}
    assert (tmp_path / "k" / "log.txt").read_text() == "said\n"


def test_a_stop_asks_and_a_second_one_does_not(script: list[str], tmp_path: Path) -> None:
    script[0] = (
        "import signal, sys, time, pathlib; signal.signal(signal.SIGTERM, lambda *_: None);"
        "pathlib.Path(sys.argv[1], 'up').touch(); time.sleep(60)"
    )
    runner = Local(EIGHT)
    runner.start("a", tmp_path, Resources())
    while not (tmp_path / "up").exists():
        time.sleep(0.02)
    runner.stop(at_once=False)
    assert runner.wait(0.3) == []
    runner.stop(at_once=True)
    assert ended(runner) == {"a": -9}


def test_a_cell_whose_study_is_gone_ends(tmp_path: Path) -> None:
    with only_process(tmp_path):
        # It waits for the lock, and process 1 is not its parent.
        command = [sys.executable, "-m", "robustill.study.run_cell", str(tmp_path), "--parent", "1"]
        run = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert run.returncode == 130
    assert b"Traceback" not in run.stderr
