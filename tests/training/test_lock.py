"""One process at a time writes into a run folder; the lock goes with its process, however that ends."""

import errno
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robustill.data import Data
from robustill.errors import CheckpointError
from robustill.evaluation import evaluate
from robustill.models import load_model
from robustill.training import lock
from robustill.training.lock import hold
from tests.training.forked import fork, in_fork
from tests.training.short_run import go, method

LOCK = ".training.lock"


@contextmanager
def holder(folder: Path, what: str = "training", then: Callable[[], object] = lambda: time.sleep(60)) -> Iterator[int]:
    """Have another process hold the lock; gives its number."""

    def holding() -> None:
        with hold(folder, what):
            (folder / "held").touch()
            then()

    process = fork(holding)
    try:
        until = time.monotonic() + 60
        while not (folder / "held").exists():
            assert time.monotonic() < until
            time.sleep(0.005)
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_a_second_process_is_told_who_is_there(tiny_data: Data, whole: Path) -> None:
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    with holder(whole) as process:
        with pytest.raises(CheckpointError) as caught:
            go(tiny_data, whole, resume=True)
        text = f"training is under way in {whole} already (process {process} on {platform.node()})"
        assert caught.value.message == text
        assert caught.value.hint == "wait for it to end, or choose another --out"
        load_model(whole)
        (whole / "held").unlink()
        assert {name: (whole / name).read_bytes() for name in before} == before
    go(tiny_data, whole, resume=True)
    assert not (whole / LOCK).exists()


def test_a_killed_process_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with holder(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()
    with hold(tmp_path):
        assert in_fork(lambda: hold(tmp_path).__enter__()) == 1
    assert not (tmp_path / LOCK).exists()


def test_children_of_a_killed_process_do_not_hold_it_on(tmp_path: Path) -> None:
    """Loader processes live on for seconds after the training was killed."""

    def then() -> None:
        (tmp_path / "child").write_text(str(fork(lambda: time.sleep(60))))
        time.sleep(60)

    with holder(tmp_path, then=then):
        until = time.monotonic() + 60
        while not ((tmp_path / "child").exists() and (tmp_path / "child").read_text()):
            assert time.monotonic() < until
            time.sleep(0.005)
    child = int((tmp_path / "child").read_text())
    try:
        with hold(tmp_path):
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_same_thread_may_hold_it_twice_another_one_may_not(tmp_path: Path) -> None:
    found: list[str] = []

    def other() -> None:
        try:
            with hold(tmp_path):
                found.append("held")
        except CheckpointError as error:
            found.append(error.message)

    with hold(tmp_path):
        with hold(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
        assert in_fork(lambda: hold(tmp_path).__enter__()) == 1
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(found) == 1
    assert "under way" in found[0]
    with hold(tmp_path):
        pass


def test_of_launched_processes_the_first_one_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hold(tmp_path):
        monkeypatch.setenv("RANK", "1")

        def second() -> None:
            with hold(tmp_path):
                pass

        assert in_fork(second) == 0
        monkeypatch.setenv("RANK", "0")
        assert in_fork(second) == 1


def test_two_evaluations_do_not_write_into_one_folder(tiny_data: Data, tmp_path: Path) -> None:
    student = method().student.eval()
    with holder(tmp_path, "evaluation"), pytest.raises(CheckpointError, match="evaluation is under way"):
        evaluate(student, tiny_data, eps=0.1, attacks=["fgsm"], checks=False, out=tmp_path, progress=False)
    with holder(tmp_path / "run"):
        evaluate(student, tiny_data, eps=0.1, attacks=["fgsm"], checks=False, out=tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{2**22 + 1} {platform.node()}\n", None),
        (f"{os.getppid()} {platform.node()}\n", f"process {os.getppid()} on"),
        ("17 elsewhere\n", "process 17 on elsewhere"),
        ("", "another process"),
        ("\x1b[2J not ours", "another process"),
    ],
)
def test_where_the_file_system_knows_no_locks_the_file_is_the_lock(
    content: str, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", unsupported)
    with hold(tmp_path):
        pass
    (tmp_path / LOCK).write_text(content)
    if message is None:
        with hold(tmp_path):
            assert (tmp_path / LOCK).read_text().startswith(f"{os.getpid()} ")
        return
    with pytest.raises(CheckpointError, match=message) as caught, hold(tmp_path):
        pass
    assert f"if that process is gone, delete {tmp_path / LOCK}" in str(caught.value.hint)
