"""A study from its file to its tables."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robustill.errors import RobustillError
from robustill.recipe.files import read_toml
from robustill.study import results
from robustill.study.cells import Cell, Cells
from robustill.study.earlier import Earlier
from robustill.study.files import load_study, to_toml
from robustill.study.folder import Store
from robustill.study.layers import Place
from robustill.study.live import Display
from robustill.study.local import Local, Machine
from robustill.study.own import check_handed_on
from robustill.study.ranking import rank
from robustill.study.ray_runner import Ray
from robustill.study.schedule import BLOCKED, BROKEN, DONE, QUEUED, Job, Runner, Schedule, jobs_of
from robustill.study.search import Trial, best, search
from robustill.study.summary import summarize
from robustill.study.table import StudyTable
from robustill.study.tables import write_tables
from robustill.writing import make_folder, write_json, write_whole


@dataclass(frozen=True)
class Way:
    """How cells are run.

    Args:
        jobs: Cells at once on this machine; what it carries when None.
        ray: Address of a Ray cluster, `"auto"` or `"local"`; None for this machine.
        retry_failed: Try again what failed in an earlier call.

    >>> Way(jobs=2).retry_failed
    False
    """

    jobs: int | None = None
    ray: str | None = None
    retry_failed: bool = False


@dataclass
class Study:
    """An opened study.

    Args:
        table: Its file.
        cells: What follows from it.
        store: Where cells live.
        out: Where its tables go.
        beside: Folder of an earlier run's tables, whose rows stand in for cells that are not here.
        beside_first: Take those rows where the cells are here too.
        jobs: What became of the cells that were run.
    """

    table: StudyTable
    cells: Cells
    store: Store
    out: Path
    beside: Path | None = None
    beside_first: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)

    def look(self, only: Sequence[str] = (), *, retry_failed: bool = False) -> dict[str, Job]:
        """Return what there is to do for the entries in `only`, or for all, without doing it."""
        return self._jobs(self._left(only), retry_failed=retry_failed)

    def run(self, only: Sequence[str] = (), way: Way | None = None) -> dict[str, Any]:
        """Run what is not done and return the summary; the tables are written whatever happens.

        Of what `beside` knows, teachers of other cells are trained, not measured, and the rest is not run.

        Raises:
            RobustillError: The study is wrong, or cannot be written.
            KeyboardInterrupt: It was told to stop; the message says how to go on.
        """
        self._prepare()
        cells = self._left(only)
        try:
            self._run(cells, way or Way())
            if self.table.ranking is not None:
                rank(self.cells, self.store, self.table.ranking, self.out / "ranking", self._earlier())
        finally:
            summary = self.write()
        return summary

    def search(self, way: Way | None = None) -> dict[str, Any]:
        """Run the search and evaluate its winner; return what `search.json` holds.

        Raises:
            RobustillError: The study has no search, is wrong, or cannot be written.
            KeyboardInterrupt: It was told to stop; the message says how to go on.
        """
        way = way or Way()
        self._prepare()
        trials = search(self.cells, self.store, lambda batch: self._run(batch, way))
        winner = best(trials)
        cells = [self.cells.cell(winner.variant, cell.seed) for cell in winner.cells]
        self._run(cells, way)
        found = self._found(trials, winner, cells)
        write_json(found, self.out / "search.json")
        write_whole(self.out / "best.toml", [self.store.recipe(cells[0]).to_toml().encode()])
        return found

    def write(self) -> dict[str, Any]:
        """Write the tables of all finished cells, and of `beside`, and return the summary.

        Raises:
            RobustillError: They cannot be written, or `beside` has none.
        """
        make_folder(self.out)
        cells = self.rows()
        earlier = self._earlier()
        return write_tables(
            self.table, cells, self.store, self.out, baselines=self.cells.baselines(),
            missing=self._missing([cell for cell in cells if not earlier.has(cell)]), earlier=earlier,
        )  # fmt: skip

    def rows(self) -> list[Cell]:
        """Return a cell for each row and seed; a teacher that several rows share is one cell, not several."""
        return [self.cells.cell(v, seed) for v in self.cells.variants.values() for seed in self.cells.seeds(v)]

    def _left(self, only: Sequence[str]) -> list[Cell]:
        earlier = self._earlier()
        return [cell for cell in self.cells.all(only) if not earlier.has(cell)]

    def _jobs(self, cells: Sequence[Cell], *, retry_failed: bool) -> dict[str, Job]:
        """Return jobs for `cells` and all that they need; what an earlier run measured has only to teach."""
        needed = {id(each): each for cell in cells for each in (*_all_needs(cell), cell)}
        earlier = self._earlier()
        found = [replace(cell, measures={}) if earlier.has(cell) else cell for cell in needed.values()]
        return jobs_of(found, self.store, retry_failed=retry_failed)

    def _earlier(self) -> Earlier:
        return Earlier(self.beside, self.rows(), self.store, first=self.beside_first)

    def _missing(self, cells: Sequence[Cell]) -> list[str]:
        jobs = jobs_of(self.cells.all(), self.store)
        found = []
        for cell in cells:
            job = jobs[cell.folder]
            if job.state != DONE:
                failed = job.state in (BROKEN, BLOCKED)
                found.append(f"{cell.name}: {job.why}" if failed else f"{cell.name}: not run yet")
        return found

    def _run(self, cells: Sequence[Cell], way: Way) -> None:
        jobs = self._jobs(cells, retry_failed=way.retry_failed)
        self.jobs |= jobs
        if all(job.state in (DONE, BROKEN, BLOCKED) for job in jobs.values()):
            return
        check_handed_on(job.cell for job in jobs.values() if job.state == QUEUED)
        runner = _runner(way, cells)
        try:
            for job in jobs.values():
                if job.state == QUEUED:
                    runner.check(job.cell.resources, job.cell.name)
            with _terminations(), Display(jobs, self.out / "study.log") as board:
                Schedule(jobs, self.store, runner, board, retries=self.table.retries).run()
        finally:
            runner.close()

    def _prepare(self) -> None:
        make_folder(self.store.root)
        make_folder(self.out)
        write_whole(self.out / "study.toml", [to_toml(self.table).encode()])

    def _found(self, trials: Sequence[Trial], winner: Trial, cells: Sequence[Cell]) -> dict[str, Any]:
        asked = self.table.search
        assert asked is not None
        rows = results.rows(cells, self.store)
        summary = summarize(rows, name=self.table.name, title="", baselines={}, missing=[])
        return {
            "run": asked.run,
            "metric": asked.metric,
            "trials": [
                {
                    "number": trial.number,
                    "settings": trial.settings,
                    "validation": trial.value,
                    "cells": [cell.folder for cell in trial.cells],
                }
                for trial in trials
            ],
            "best": {
                "number": winner.number,
                "settings": winner.settings,
                "validation": winner.value,
                "test": summary["runs"].get(winner.variant.name, {}),
            },
        }


def open_study(
    source: str | Path,
    *,
    out: str | Path | None = None,
    cells: str | Path | None = None,
    changes: Sequence[str] = (),
    allowed: Sequence[str | Path] = (),
    beside: str | Path | None = None,
) -> Study:
    """Read a study and expand it; nothing is run or written.

    Args:
        source: A study file.
        out: Folder of its tables; `runs/NAME` when None.
        cells: Folder of its cells, which several studies may share; `out/cells` when None.
        changes: As `load_study`.
        allowed: Folders whose files may be named, besides the working folder and that of `source`.
        beside: Folder of an earlier run's tables (`results.csv` and more), whose rows stand in for the same cells where
            those are not here.

    Raises:
        RobustillError: The study is wrong, or `out` belongs to another one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "two.toml")
    ...     _ = file.write_text('runs.plain.recipe = "digits_standard_cnn-small"')
    ...     study = open_study(file, out=f"{folder}/out")
    ...     print(type(study).__name__, study.table.seeds)
    Study 3
    """
    table = load_study(source, changes)
    folder = Path(out) if out is not None else Path("runs") / table.name
    other = _name_in(folder)
    if other is not None and other != table.name:
        raise RobustillError(f"{folder} holds the study {other!r}, not {table.name!r}", "choose another --out")
    place = Place(Path(source).parent, tuple(map(Path, allowed)))
    store = Store(Path(cells) if cells is not None else folder / "cells")
    return Study(table, Cells(table, place), store, folder, None if beside is None else Path(beside))


def _all_needs(cell: Cell) -> list[Cell]:
    return [each for need in cell.needs.values() for each in (*_all_needs(need), need)]


def _runner(way: Way, cells: Sequence[Cell]) -> Runner:
    if way.ray is not None:
        return Ray(way.ray)
    return Local(Machine.here(gpus=any(cell.resources.gpus for cell in cells)), way.jobs)


def _name_in(folder: Path) -> str | None:
    path = folder / "study.toml"
    if not path.is_file():
        return None
    # Its other keys may be those of another version.
    name = read_toml(path).get("name")
    return name if isinstance(name, str) else None


@contextmanager
def _terminations() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
