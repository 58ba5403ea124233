"""Full disks and folders that cannot be written: one error with a hint, and the run goes on bit-exactly."""

import errno
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from robustill.cli import main
from robustill.data import Data
from robustill.writing import WriteError
from tests.training.forked import in_fork
from tests.training.short_run import go, left_behind


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(("name", "before"), [("metrics.jsonl", 3), ("last.pt", 3), ("student.safetensors", 0)])
def test_a_disk_that_is_full_is_one_error_and_the_run_goes_on(
    name: str, before: int, number: int, whole: Path, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, calls = Path.open, 0

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: Any) -> int:
            self.file.write(bytes(data)[:3])
            raise OSError(number, os.strerror(number))

    def filling(self: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        nonlocal calls
        file = opened(self, mode, *more, **named)
        if name in self.name and ("w" in mode or "a" in mode):
            calls += 1
            return Full(file) if calls > before else file
        return file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", filling)
        with pytest.raises(WriteError, match=os.strerror(number)) as caught:
            go(tiny_data, tmp_path / "cut")
    if number == errno.ENOSPC:
        assert "make room" in str(caught.value.hint)
    assert name in caught.value.message
    names = {path.name for path in (tmp_path / "cut").iterdir()}
    assert not [each for each in names if each.startswith(".")]
    go(tiny_data, tmp_path / "cut", resume="last.pt" in names)
    assert left_behind(tmp_path / "cut") == left_behind(whole)


def test_a_limit_of_the_system_on_files(tiny_data: Data, whole: Path, tmp_path: Path) -> None:
    """The kernel itself refuses the write, in the middle of a checkpoint."""

    def limited() -> None:
        size = (whole / "last.pt").stat().st_size
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        try:
            go(tiny_data, tmp_path / "cut")
        except WriteError as error:
            os._exit(7 if "last.pt" in error.message and "make room" in str(error.hint) else 8)

    assert in_fork(limited) == 7
    assert {path.name for path in (tmp_path / "cut").iterdir()} <= {"metrics.jsonl"}
    go(tiny_data, tmp_path / "cut")
    assert left_behind(tmp_path / "cut") == left_behind(whole)


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root mounts")
def test_a_small_disk_that_is_full(tiny_data: Data, whole: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = 3 * (whole / "last.pt").stat().st_size
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], check=False).returncode:
        pytest.skip("no mount here")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(size // 2))
        with pytest.raises(WriteError, match="No space left"):
            go(tiny_data, disk / "run")
        before = {path.name for path in (disk / "run").iterdir()}
        assert not [name for name in before if name.startswith(".")]
        ballast.unlink()
        subprocess.run(["mount", "-o", f"remount,size={4 * size}", disk], check=True)
        go(tiny_data, disk / "run", resume="last.pt" in before)
        assert left_behind(disk / "run") == left_behind(whole)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_cannot_be_made(tiny_data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"cannot create the folder .*\n  hint: choose another --out"):
        go(tiny_data, tmp_path / "file" / "run")
    with pytest.raises(SystemExit):
        main(["train", "digits_standard_cnn-small", "--out", str(tmp_path / "file")])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: cannot ")
    assert len(lines) == 2


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tiny_data: Data, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="Permission denied"):
            go(tiny_data, tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_refused_run_leaves_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["train", "digits_standard_cnn-small", "--out", str(tmp_path / "run"), "--set", "data.name=digitz"])
    assert not (tmp_path / "run").exists()


def test_other_errors_of_the_machine_are_one_message_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "weights")

    monkeypatch.setattr("robustill.runs.run_recipe", broken)
    with pytest.raises(SystemExit):
        main(["train", "digits_standard_cnn-small", "--out", str(tmp_path / "run")])
    assert capsys.readouterr().err.splitlines()[0] == "error: Input/output error: weights"
