"""A live view shows what metrics.jsonl says, once, however often a run was cut; and never changes the run."""

import importlib.machinery
import json
import os
import random
import struct
import sys
import types
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustill.data import Data
from robustill.errors import InputError, MissingExtraError
from robustill.training import track as tracking
from robustill.training import train
from robustill.training.run import Run
from tests.training.short_run import SETTINGS, left_behind, method

Shown = list[tuple[str, int, float]]


def go(data: Data, folder: Path, *track: str, resume: bool = False) -> None:
    train(method(), data, SETTINGS, out=folder, resume=resume, progress=False, track=track)


class Killed(BaseException):
    """Stands for a process that is gone."""


def begun(data: Data, folder: Path, *track: str) -> None:
    """Leave a run behind that died in its fourth step."""
    step, done = Run._train_step, iter(range(10))

    def dying(self: Run, x: torch.Tensor, y: torch.Tensor) -> None:
        if next(done) == 3:
            raise Killed
        step(self, x, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_train_step", dying)
        with pytest.raises(Killed):
            go(data, folder, *track)


def expected(folder: Path) -> Shown:
    """Every number of metrics.jsonl, by hand: two steps an epoch."""
    found: Shown = []
    for text in (folder / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        at = 2 * line["epoch"] + line["step"] if line["kind"] == "step" else 2 * (line["epoch"] + 1)
        for key, value in line.items():
            if key == "validation":
                found += [(f"epoch/validation/{name}", at, score) for name, score in value.items()]
            elif key == "epoch":
                found.append((f"{line['kind']}/epoch", at, value + 1))
            elif key not in ("kind", "step"):
                found.append((f"{line['kind']}/{key}", at, value))
    return found


def rounded(found: Shown) -> Shown:
    return [(tag, at, struct.unpack("f", struct.pack("f", value))[0]) for tag, at, value in found]


def events(folder: Path) -> Shown:
    """Read event files as records: length, checksum, content, checksum."""
    from tensorboard.compat.proto.event_pb2 import Event

    found: Shown = []
    for path in sorted((folder / "tensorboard").iterdir()):
        raw = path.read_bytes()
        while raw:
            (size,) = struct.unpack("<Q", raw[:8])
            event = Event.FromString(raw[12 : 12 + size])
            found += [(each.tag, event.step, each.simple_value) for each in event.summary.value]
            raw = raw[16 + size :]
    return found


class Book:
    """A tracker in memory; `books` holds what each one of a name was told since it began."""

    books: dict[str, Shown]

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.told = Book.books.setdefault(out.name, [])
        self.told.clear()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.told += [(tag, step, value) for tag, value in values.items()]

    def close(self) -> None:
        self.told.append(("closed", 0, 0.0))


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> dict[str, Shown]:
    monkeypatch.setattr(tracking, "TRACKERS", {"json": Book})
    monkeypatch.setattr(Book, "books", {}, raising=False)
    return Book.books


needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs tensorboard")


@needs_tensorboard
def test_tensorboard_gets_every_number(tiny_data: Data, tmp_path: Path) -> None:
    go(tiny_data, tmp_path / "run", "tensorboard")
    found = events(tmp_path / "run")
    assert found == rounded(expected(tmp_path / "run"))
    tags = {tag for tag, _, _ in found}
    assert {"step/loss", "step/lr", "epoch/loss", "epoch/validation/clean", "epoch/validation/robust"} <= tags


@needs_tensorboard
def test_tensorboard_itself_reads_a_resumed_run_without_doubled_steps(tiny_data: Data, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "run"
    begun(tiny_data, folder, "tensorboard")
    # As if the process had been killed after a line that no checkpoint knows of.
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "step", "epoch": 1, "step": 2, "loss": 99.0}\n')
    looking_on = EventAccumulator(str(folder / "tensorboard"))
    assert len(looking_on.Reload().Scalars("step/loss")) == 3
    go(tiny_data, folder, "tensorboard", resume=True)
    for reader in (looking_on, EventAccumulator(str(folder / "tensorboard"))):
        found = [(each.step, each.value) for each in reader.Reload().Scalars("step/loss")]
        wanted = [(at, value) for tag, at, value in rounded(expected(folder)) if tag == "step/loss"]
        assert found == wanted
        assert [at for at, _ in found] == [1, 2, 3, 4]
    assert [bool(path.stat().st_size) for path in sorted((folder / "tensorboard").iterdir())] == [False, True]


def test_tracking_may_begin_with_a_resumed_run(tiny_data: Data, tmp_path: Path, book: dict[str, Shown]) -> None:
    folder = tmp_path / "run"
    begun(tiny_data, folder)
    go(tiny_data, folder, "json", resume=True)
    assert book["run"] == [*expected(folder), ("closed", 0, 0.0)]


class Broken(Book):
    """Draws from every generator, speaks up, and fails where it is told to."""

    fails = ""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(out, settings)
        self._act("begin")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        super().write(step, values)
        self._act("write")

    def close(self) -> None:
        self._act("close")

    def _act(self, what: str) -> None:
        torch.rand(3)
        random.random()
        np.random.rand(3)
        if what == self.fails:
            raise OSError(28, "No space left\x1b[2J on device")


@pytest.mark.parametrize("fails", ["", "begin", "write", "close"])
def test_a_tracker_never_changes_a_run(
    fails: str, tiny_data: Data, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], book: dict[str, Shown],
) -> None:  # fmt: skip
    monkeypatch.setattr(tracking, "TRACKERS", {"json": Broken})
    monkeypatch.setattr(Broken, "fails", fails)
    capsys.readouterr()
    go(tiny_data, tmp_path / "tracked", "json")
    assert left_behind(tmp_path / "tracked") == left_behind(whole)
    err = capsys.readouterr().err
    assert err.count("warning: json is left out") == bool(fails)
    assert "\x1b" not in err


def test_the_run_may_be_resumed_with_other_trackers(tiny_data: Data, whole: Path, book: dict[str, Shown]) -> None:
    before = left_behind(whole)
    go(tiny_data, whole, "json", resume=True)
    assert left_behind(whole) == before


def test_what_cannot_be_tracked_is_one_error_before_anything_is_written(
    tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="did you mean 'trackio'"):
        go(tiny_data, tmp_path / "run", "trakio")
    with pytest.raises(InputError, match="in its folder"):
        train(method(), tiny_data, SETTINGS, track="tensorboard")
    monkeypatch.setattr("robustill.training.track.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs the package tensorboard\n.*robustill\[track\]"):
        go(tiny_data, tmp_path / "run", "tensorboard")
    assert not (tmp_path / "run").exists()


class Storage:
    """What of Trackio's storage is used, in memory."""

    rows: dict[tuple[str, str, str], list[tuple[int, dict[str, float], Any]]]

    @classmethod
    def delete_run(cls, project: str, run: str, run_id: str) -> bool:
        return cls.rows.pop((project, run, run_id), None) is not None

    @classmethod
    def bulk_log(cls, project: str, run: str, metrics: Any, *, steps: Any, config: Any, run_id: str) -> None:
        own = cls.rows.setdefault((project, run, run_id), [])
        own += [(at, values, config) for at, values in zip(steps, metrics, strict=True)]


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> type[Storage]:
    for name in ("trackio", "trackio.sqlite_storage"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["trackio.sqlite_storage"].SQLiteStorage = Storage  # type: ignore[attr-defined]
    monkeypatch.setattr(Storage, "rows", {}, raising=False)
    # An empty value counts as set, and is put back afterwards.
    monkeypatch.setenv("TRACKIO_DIR", "")
    monkeypatch.delenv("TRACKIO_DIR")
    return Storage


def test_trackio_holds_every_number_once(tiny_data: Data, tmp_path: Path, storage: type[Storage]) -> None:
    folders = tmp_path / "one" / "run", tmp_path / "two" / "run"
    for folder in folders:
        begun(tiny_data, folder, "trackio")
        go(tiny_data, folder, "trackio", resume=True)
    assert os.environ["TRACKIO_DIR"] == str(tmp_path / "one" / "trackio")
    # Runs of the same name in other folders are other runs.
    assert len(storage.rows) == 2
    assert {key[:2] for key in storage.rows} == {("robustill", "run")}
    for folder, rows in zip(folders, storage.rows.values(), strict=True):
        assert [(tag, at, value) for at, values, _ in rows for tag, value in values.items()] == expected(folder)
        assert rows[0][2]["batch_size"] == 48
