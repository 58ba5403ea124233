"""A cell in a process of its own: trains, evaluates, calibrates, and goes on where an earlier process was stopped."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustill.errors import RobustillError
from robustill.plugins import import_modules
from robustill.study.folder import FAILED, INTERRUPTED, JOB, RESULT, TRAINED, finished, kept, only_process, read_json
from robustill.writing import remove_leftovers, write_json, write_whole

# A step of a large network takes a while, and it ends before the process does.
_PATIENCE_S = 120.0


def main(arguments: list[str] | None = None) -> int:
    """Do what a cell's folder asks for; return 0 when it is done, 1 with the reason in it, or 130 when stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int, help="process without which nobody waits for this one")
    parser.add_argument("--import", dest="modules", action="append", default=[], help="as in the study's command")
    parser.add_argument("--look-in", dest="places", action="append", default=[], help="folder of such a module")
    options = parser.parse_args(arguments)
    # At the end: what is found without them stays what it is.
    sys.path += [place for place in options.places if place not in sys.path]
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if options.parent is not None:
            threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
        with only_process(options.folder):
            return attempt(options.folder, options.modules)
    except KeyboardInterrupt as error:
        sys.stderr.write(f"{str(error) or 'interrupted'}\n")
        return INTERRUPTED


def attempt(folder: Path, modules: Sequence[str] = ()) -> int:
    """Do what is left to do in a folder that no other process works in; return 0, or 1 with the reason in it."""
    remove_leftovers(folder)
    job = read_json(folder / JOB)
    if job is None:
        raise SystemExit(f"{folder} has no {JOB}")
    if finished(folder, job):
        return 0
    try:
        import_modules(modules)
        work(job, folder)
    except RobustillError as error:
        lasts = {"passing": True} if error.passing else {"final": True}
        return _failed(folder, job, error, {"message": error.message, "hint": error.hint, **lasts})
    except Exception as error:
        return _failed(folder, job, error, {"message": str(error), "traceback": traceback.format_exc()})
    (folder / FAILED).unlink(missing_ok=True)
    return 0


def _failed(folder: Path, job: dict[str, Any], error: Exception, why: dict[str, Any]) -> int:
    traceback.print_exception(error)
    write_json({"address": job["address"], "error": type(error).__name__, **why}, folder / FAILED)
    return 1


def work(job: dict[str, Any], folder: Path) -> None:
    """Train what `job` asks for and measure it, as far as an earlier process has not.

    Raises:
        RobustillError: It cannot be done; what is wrong and where.
        KeyboardInterrupt: It was told to stop and has saved what it could.
    """
    from robustill.recipe import parse_recipe
    from robustill.study.measure import measured

    recipe = parse_recipe(job["recipe"], where=str(folder / JOB))
    trained = read_json(folder / TRAINED)
    if trained is None or trained.get("training") != job["training"]:
        trained = _train(recipe, folder, job["training"])
    if job["measures"]:
        found = measured(recipe, folder, job["measures"], job["cpus"])
        before = read_json(folder / RESULT)
        if before is not None and before.get("training") == job["training"]:
            os.replace(folder / RESULT, folder / kept(before["address"]))
        write_json(
            {"address": job["address"], "training": job["training"], "trained": trained, **found}, folder / RESULT
        )


def _train(recipe: Any, folder: Path, address: str) -> dict[str, Any]:
    from robustill.runs import run_recipe
    from robustill.training.checkpoint import has_checkpoint

    resume = has_checkpoint(folder)
    if resume:
        # The address says that it is the same run, whose teachers may lie elsewhere by now.
        write_whole(folder / "recipe.toml", [recipe.to_toml().encode()])
    result = run_recipe(recipe, folder, resume=resume)
    last = result.history[-1]
    trained = {
        "training": address,
        "epochs": last["epoch"] + 1,
        "best": result.best,
        "last": {"epoch": last["epoch"], **last.get("validation", {})},
    }
    write_json(trained, folder / TRAINED)
    return trained


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end_with(parent: int) -> None:
    """Stop when the study's process is gone, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
