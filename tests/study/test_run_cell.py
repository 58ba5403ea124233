"""A cell's own work, in this process: trained once, evaluated once, and what is left of a failure."""

import json
from pathlib import Path
from typing import Any

import pytest

from robustill.data.stream import ReaderError
from robustill.errors import RobustillError
from robustill.study import Cells
from robustill.study.folder import Store, only_process
from robustill.study.run_cell import attempt
from robustill.training.lock import BusyError
from robustill.writing import WriteError, write_json
from tests.study.small import QUICK, expand

RUN = "[runs.trades]\nrecipe = 'digits_trades_cnn-small'\nset = { data.limit = 200 }\nseeds = 1\n"


def prepared(folder: Path, cells: Cells) -> tuple[Path, Store]:
    store = Store(folder)
    cell = cells.all()[-1]
    store.of(cell).mkdir(exist_ok=True)
    write_json(store.job(cell), store.of(cell) / "cell.json")
    return store.of(cell), store


def counted(monkeypatch: pytest.MonkeyPatch, what: str) -> list[int]:
    import robustill.runs

    calls: list[int] = []
    real = getattr(robustill.runs, what)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(robustill.runs, what, call)
    return calls


def test_a_cell_is_trained_and_evaluated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainings, evaluations = counted(monkeypatch, "run_recipe"), counted(monkeypatch, "evaluate_target")
    cells = expand(RUN)
    folder, store = prepared(tmp_path, cells)
    assert attempt(folder) == 0
    # The only epoch's student is the best and the last one: one evaluation serves both.
    assert (len(trainings), len(evaluations)) == (1, 1)
    result = store.result(cells.all()[0])
    assert result is not None
    stored = json.loads((folder / "evaluation.json").read_text())
    assert [(row["student"], row["attack"]) for row in result["rows"]] == [
        (student, attack) for student in ("best", "last") for attack in ("clean", "fgsm", "robust")
    ]
    assert result["rows"][1]["accuracy"] == stored["attacks"]["fgsm"]["accuracy"]
    assert result["rows"][0]["images"] == 100
    assert attempt(folder) == 0
    assert (len(trainings), len(evaluations)) == (1, 1)
    # Another evaluation leaves the training alone.
    weights = (folder / "student.safetensors").stat().st_mtime_ns
    cells = expand(RUN, base=QUICK.replace("images = 100", "images = 50"))
    assert prepared(tmp_path, cells)[0] == folder
    assert attempt(folder) == 0
    assert (len(trainings), len(evaluations)) == (1, 2)
    assert (folder / "student.safetensors").stat().st_mtime_ns == weights


def test_best_and_last_are_evaluated_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([{"clean": 0.9, "robust": 0.9, "wra": 0.9}, {"clean": 0.1, "robust": 0.1, "wra": 0.1}])
    monkeypatch.setattr("robustill.training.selection.judge", lambda *args, **kwargs: next(scores))
    cells = expand(RUN + "[set]\ntraining.epochs = 2\n")
    folder, store = prepared(tmp_path, cells)
    assert attempt(folder) == 0
    result = store.result(cells.all()[0])
    assert result is not None
    for student, place in (("best", folder), ("last", folder / "last")):
        stored = json.loads((place / "evaluation.json").read_text())
        rows = {row["attack"]: row for row in result["rows"] if row["student"] == student}
        assert rows["clean"]["accuracy"] == stored["clean"]["accuracy"]
        assert rows["robust"]["low"] == stored["robust"]["interval"][0]
    assert (result["trained"]["best"]["epoch"], result["trained"]["last"]["epoch"]) == (0, 1)


def test_students_are_set_beside_their_teacher(tmp_path: Path) -> None:
    runs = "[runs.r]\nrecipe = 'digits_rslad_cnn-small'\n[runs.robust]\nrecipe = 'digits_pgd-at_cnn-small'\n"
    base = QUICK.replace("attack.steps = 1", "attack.steps = 1\ndata.limit = 200")
    base += "[calibrate]\neps = [0.02]\nimages = 10\nsteps = 2\nrestarts = 1\npoints = 'both'\n"
    cells = expand(runs, "seeds = 1", base)
    store = Store(tmp_path)
    for cell in cells.all():
        store.of(cell).mkdir()
        write_json(store.job(cell), store.of(cell) / "cell.json")
        assert attempt(store.of(cell)) == 0
    results = {cell.variant.name: store.result(cell) for cell in cells.all()}
    assert results["robust"] is not None
    assert results["robust"]["calibration"] == []
    assert results["r"] is not None
    (row,) = results["r"]["calibration"]
    assert row["eps"] == 0.02
    (stored,) = store.of(cells.all()[-1]).glob("calibration-*/calibration.json")
    assert row["agreement_found"] == json.loads(stored.read_text())["radii"][0]["agreement"]["found"]["share"]


def test_a_failure_is_kept_and_forgotten_when_it_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = expand(RUN + "[set]\ntraining.clip_norm = 1e-3\n")
    folder, store = prepared(tmp_path, cells)
    with monkeypatch.context() as patch:
        patch.setattr("robustill.training.loop.Run", lambda *args: 1 / 0)
        assert attempt(folder) == 1
    failure = store.failure(cells.all()[0])
    assert failure is not None
    assert (failure["error"], failure["message"]) == ("ZeroDivisionError", "division by zero")
    assert "Traceback" in failure["traceback"]
    assert attempt(folder) == 0
    assert store.failure(cells.all()[0]) is None


def test_what_a_user_can_mend_comes_with_its_hint(tmp_path: Path) -> None:
    cells = expand(RUN + "[set]\ndata.name = 'none.npz'\n")
    folder, store = prepared(tmp_path, cells)
    assert attempt(folder) == 1
    failure = store.failure(cells.all()[0])
    assert failure is not None
    assert failure["final"]
    assert "traceback" not in failure


@pytest.mark.parametrize("error", [WriteError("full"), BusyError("busy"), ReaderError("died")])
def test_what_may_pass_is_not_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RobustillError) -> None:
    cells = expand(RUN)
    folder, store = prepared(tmp_path, cells)

    def fail(*args: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("robustill.training.loop.Run", fail)
        assert attempt(folder) == 1
    failure = store.failure(cells.all()[0])
    assert failure is not None
    assert failure["passing"]
    assert "final" not in failure


def test_one_process_at_a_time(tmp_path: Path) -> None:
    import subprocess
    import sys
    import time

    code = (
        "import sys, pathlib; from robustill.study.folder import only_process\n"
        "with only_process(pathlib.Path(sys.argv[1])): pathlib.Path(sys.argv[1], 'in').touch()\n"
    )
    with only_process(tmp_path):
        other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE)
        assert other.stderr is not None
        assert b"waiting: cell is under way" in other.stderr.readline()
        time.sleep(0.3)
        assert not (tmp_path / "in").exists()
    assert other.wait(60) == 0
    other.stderr.close()
    assert (tmp_path / "in").exists()
