"""What `doctor` says of a machine: every line a verdict, and what to do where something is not fine."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from robustill.diagnostics import installation as module
from robustill.diagnostics import machine
from robustill.diagnostics.installation import Finding, installation

GIB = 2**30


def found(runs: Path = Path("runs")) -> dict[str, Finding]:
    return {each.name: each for each in installation(runs)}


def test_every_line_is_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBUSTILL_DATA", raising=False)
    lines = installation(Path("runs"))
    names = [each.name for each in lines]
    assert len(set(names)) == len(names)
    for part in ("robustill", "python", "torch", "packages", "cores", "instructions", "GPU", "folder runs", "disk",
                 "terminal", "data digits", "data cifar10", "extra hub", "extra search"):  # fmt: skip
        assert part in names
    for each in lines:
        assert each.status in ("ok", "warn", "fail")
        assert each.says
        # Nothing is wrong without a way out.
        assert each.do or each.status == "ok"
    assert not (tmp_path / "runs").exists()


def test_an_absent_package_fails_and_an_absent_extra_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name == "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trackio" else object())
    lines = found()
    assert lines["packages"] == Finding("packages", "fail", "missing: scipy", "pip install scipy")
    track = lines["extra track"]
    assert (track.status, track.says) == ("ok", "missing: trackio")
    assert 'pip install "robustill[track]"' in track.do
    assert lines["extra hub"].says == "installed"


def test_another_torch_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    line = found()["torch"]
    assert line.status == "warn"
    assert "pip install" in line.do


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    line = found()["cores"]
    assert (line.status, line.says) == ("warn", "2 for this process; threads of PyTorch: 8")
    assert "OMP_NUM_THREADS=2" in line.do
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert found()["cores"].status == "ok"


@pytest.mark.parametrize(("amx", "words"), [(True, "bfloat16 pays"), (False, "no fast bfloat16")])
def test_instructions(amx: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    line = found()["instructions"]
    assert line.do.startswith(words)
    assert ("AMX" in line.says) is amx


class Usage(NamedTuple):
    free: float


@pytest.mark.parametrize(("free", "status"), [(0.05, "fail"), (1.5, "warn"), (50.0, "ok")])
def test_disk(free: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free * GIB))
    (line,) = [each for each in machine.disk(tmp_path / "a" / "b") if each[0] == "disk"]
    assert line[1:3] == (status, f"{free:.1f} GiB free")
    assert bool(line[3]) is (status != "ok")


def test_a_folder_for_runs_that_cannot_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    line = found(tmp_path / "file" / "runs")[f"folder {tmp_path / 'file' / 'runs'}"]
    assert (line.status, line.says) == ("fail", f"{tmp_path / 'file'} is no folder")
    monkeypatch.setattr(os, "access", lambda *_: False)
    line = found(tmp_path)[f"folder {tmp_path}"]
    assert line.status == "fail"
    assert line.do == "make it writable, or give another with --runs"


def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for columns, status in ((80, "warn"), (120, "ok")):
        monkeypatch.setenv("COLUMNS", str(columns))
        line = found()["terminal"]
        assert (line.status, line.says) == (status, f"{columns} columns")


def test_a_gpu_that_pytorch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    line = found()["GPU"]
    assert (line.status, line.do) == ("warn", "check nvidia-smi")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda k: f"H{k}")
    line = found()["GPU"]
    assert (line.status, line.says) == ("ok", "H0, H1")
    assert "torchrun" in line.do


def test_data_is_found_where_it_usually_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTILL_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    line = found()["data cifar10"]
    assert (line.status, line.says) == ("ok", "not here")
    assert "hf-hub:uoft-cs/cifar10" in line.do
    folder = tmp_path / "cifar10"
    for split in ("train", "test"):
        (folder / split / "cat").mkdir(parents=True)
    assert found()["data cifar10"].says == str(folder)


def test_a_part_that_cannot_be_looked_at_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(known: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("robustill.data.known.located", refused)
    line = found()["data cifar10"]
    assert line.status == "warn"
    assert "Permission denied" in line.says


def test_the_parts_are_separate(monkeypatch: pytest.MonkeyPatch) -> None:
    none: Callable[[], Any] = lambda: iter(())  # noqa: E731
    monkeypatch.setattr(module, "machine", none)
    assert "cores" not in found()
