"""The order of cells, and what becomes of those that fail; without processes."""

from pathlib import Path

import pytest

from robustill.errors import RobustillError
from robustill.study.cells import Cell
from robustill.study.folder import Store
from robustill.study.schedule import Job, Schedule, jobs_of
from robustill.study.table import Resources
from tests.study.small import QUICK, TEACHERS, Inline, Silent, expand, failing, pretend

RUNS = '[runs.rslad]\nrecipe = "digits_rslad_cnn-small"\n' + TEACHERS


def cells() -> list[Cell]:
    return expand(RUNS, "seeds = 2").all()


def run(store: Store, runner: Inline, *, retries: int = 0, retry_failed: bool = False) -> dict[str, Job]:
    """Run the study and return its jobs by name."""
    jobs = jobs_of(cells(), store, retry_failed=retry_failed)
    Schedule(jobs, store, runner, Silent(), retries=retries).run()
    return {job.cell.name: job for job in jobs.values()}


def states(jobs: dict[str, Job]) -> dict[str, str]:
    return {name: job.state for name, job in jobs.items()}


def only(name: str, what: object) -> object:
    """Return work that does `what` for the cells of one method, and pretends for the others."""
    usual = pretend()
    return lambda folder: what(folder) if folder.name.startswith(name) else usual(folder)  # type: ignore[operator]


def test_teachers_first_and_nothing_twice(tmp_path: Path) -> None:
    store, runner = Store(tmp_path), Inline(pretend())
    assert set(states(run(store, runner)).values()) == {"done"}
    assert [name.rsplit("_", 1)[0] for name in runner.started] == [
        "pgd_at_cnn_small", "rslad_cnn_small", "standard_cnn_small", "rslad_cnn_small",
    ]  # fmt: skip
    again = Inline(pretend())
    assert set(states(run(store, again, retry_failed=True)).values()) == {"done"}
    assert again.started == []


class Wide(Inline):
    """Has room for everything, and finishes what has begun only when it is asked."""

    def fits(self, resources: Resources) -> bool:
        return True

    def start(self, key: str, folder: Path, resources: Resources) -> None:
        self.started.append(key)
        self.ended.append((key, 0))
        self.folders = {**getattr(self, "folders", {}), key: folder}

    def wait(self, seconds: float) -> list[tuple[str, int]]:
        return [(key, self.work(self.folders[key])) for key, _ in super().wait(seconds)]


def test_a_student_waits_for_its_teacher_and_nobody_else_does(tmp_path: Path) -> None:
    board = Silent()
    store = Store(tmp_path)
    Schedule(jobs_of(cells(), store), store, Wide(pretend()), board, retries=0).run()
    begun = [name for name, state in board.states if state == "running"]
    assert begun == ["robust seed 7", "clean seed 7", "rslad seed 0", "rslad seed 1"]
    order = board.states.index
    assert order(("robust seed 7", "done")) < order(("rslad seed 0", "running"))


def test_rows_that_are_the_same_are_one_cell(tmp_path: Path) -> None:
    runs = "[runs.a]\nrecipe='digits_trades_cnn-small'\n[runs.b]\nrecipe='digits_trades_cnn-small'\n"
    jobs = jobs_of(expand(runs, "seeds = 2").all(), Store(tmp_path))
    assert len(jobs) == 2


def test_a_failed_cell_says_why_and_blocks_only_its_students(tmp_path: Path) -> None:
    store, runner = Store(tmp_path), Inline(only("pgd_at", failing))  # type: ignore[arg-type]
    jobs = run(store, runner)
    assert states(jobs) == {
        "robust seed 7": "failed",
        "rslad seed 0": "blocked",
        "rslad seed 1": "blocked",
        "clean seed 7": "done",
    }
    assert jobs["robust seed 7"].why == "ValueError: no"
    assert jobs["rslad seed 0"].why == "needs robust seed 7, which failed"
    # It stays failed until it is asked for again.
    again = Inline(pretend())
    assert states(run(store, again)) == states(jobs)
    assert again.started == []
    assert set(states(run(store, again, retry_failed=True)).values()) == {"done"}
    assert len(again.started) == 3
    assert not list(tmp_path.rglob("failed.json"))


@pytest.mark.parametrize(
    ("retries", "state", "count"), [(0, "failed", 1), (1, "failed", 2), (2, "done", 3), (9, "done", 3)]
)
def test_a_crash_is_tried_again(tmp_path: Path, retries: int, state: str, count: int) -> None:
    left = [1, 1, 0]

    def crash(folder: Path) -> int:
        return failing(folder) if left.pop(0) else pretend()(folder)

    runner = Inline(only("pgd_at", crash))  # type: ignore[arg-type]
    jobs = run(Store(tmp_path), runner, retries=retries)
    assert jobs["robust seed 7"].state == state
    assert sum(name.startswith("pgd_at") for name in runner.started) == count


def test_what_a_person_has_to_change_is_not_tried_again(tmp_path: Path) -> None:
    runner = Inline(only("pgd_at", lambda folder: failing(folder, final=True, hint="change it")))  # type: ignore[arg-type]
    jobs = run(Store(tmp_path), runner, retries=5)
    assert jobs["robust seed 7"].why == "no (change it)"
    assert sum(name.startswith("pgd_at") for name in runner.started) == 1


def test_what_passes_is_tried_again_now_and_in_the_next_call(tmp_path: Path) -> None:
    store, full = Store(tmp_path), lambda folder: failing(folder, passing=True, hint="free some space")
    runner = Inline(only("pgd_at", full))  # type: ignore[arg-type]
    jobs = run(store, runner, retries=2)
    assert jobs["robust seed 7"].why == "no (free some space)"
    assert sum(name.startswith("pgd_at") for name in runner.started) == 3
    assert set(states(run(store, Inline(pretend()))).values()) == {"done"}


def test_what_was_killed_is_tried_again_in_the_next_call(tmp_path: Path) -> None:
    store = Store(tmp_path)
    jobs = run(store, Inline(only("standard", lambda folder: -9)))  # type: ignore[arg-type]
    assert jobs["clean seed 7"].state == "failed"
    assert "killed by signal 9" in jobs["clean seed 7"].why
    again = Inline(pretend())
    assert set(states(run(store, again)).values()) == {"done"}
    assert len(again.started) == 1


def test_another_evaluation_asks_finished_cells_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run(store, Inline(pretend()))
    base = QUICK.partition("[evaluate]")[0] + "[evaluate]\nattacks = ['cw']\n"
    jobs = jobs_of(expand(RUNS, "seeds = 2", base).all(), store)
    assert {job.state for job in jobs.values()} == {"queued"}


def test_a_link_out_of_the_study_is_refused(tmp_path: Path) -> None:
    cell = cells()[0]
    (tmp_path / "cells").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cells" / cell.folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RobustillError, match="is a link"):
        jobs_of([cell], Store(tmp_path / "cells"))


def test_half_written_or_foreign_results_are_not_results(tmp_path: Path) -> None:
    store, cell = Store(tmp_path), cells()[0]
    run(store, Inline(pretend()))
    assert store.done(cell)
    file = store.of(cell) / "result.json"
    whole = file.read_text()
    for text in (whole[:-20], "[]", "", whole.replace(cell.address, "0" * 64), "\x00"):
        file.write_text(text)
        assert not store.done(cell)
        assert store.result(cell) is None


def test_a_stop_leaves_the_rest_queued_and_says_how_to_go_on(tmp_path: Path) -> None:
    def stop(folder: Path) -> int:
        raise KeyboardInterrupt

    jobs = jobs_of(cells(), Store(tmp_path))
    with pytest.raises(KeyboardInterrupt, match=r"1 of 4 cells are done.*the same command goes on"):
        Schedule(jobs, Store(tmp_path), Inline(only("rslad", stop)), Silent(), retries=1).run()  # type: ignore[arg-type]
    assert sorted(job.state for job in jobs.values()) == ["done", "queued", "queued", "queued"]
    assert not list(tmp_path.rglob("failed.json"))
