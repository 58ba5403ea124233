"""Kill a training run at random instants, go on each time, and compare what it leaves with the undisturbed run.

    python benchmarks/kills.py [--kills 50] [--seed 0] [--json FILE]

The run is PGD-AT on part of digits with EMA and AWP, and saves after every step. SIGKILL arrives at random instants:
while networks and data are prepared, inside a step, inside the writing of a checkpoint. After each kill every file
under a final name must be whole; a run that ends is compared byte by byte and a new one begins, until there were
enough kills. Processes are forked from one that has imported everything, or most of the kills would hit imports.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from rows import write

import robustill.cli

RECIPE = "digits_pgd-at_cnn-small"
CHANGES = {
    "data.limit": 200, "training.epochs": 5, "training.batch_size": 40, "training.checkpoint_steps": 1,
    "training.log_steps": 2, "training.average.name": "ema", "training.average.decay": 0.9,
    "training.awp.gamma": 0.01, "attack.steps": 3,
}  # fmt: skip
FINAL = {"recipe.toml", "metrics.jsonl", "last.pt", "last.previous.pt", "student.safetensors"}
FINAL |= {"student_last.safetensors"}


def command(folder, resume):
    sets = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]
    return ["train", RECIPE, "--out", str(folder), *sets, *(["--resume"] if resume else [])]


def start(folder):
    """Start or go on with a run in a process of its own; return its number."""
    from robustill.training.checkpoint import has_checkpoint

    arguments = command(folder, has_checkpoint(folder))
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        robustill.cli.main(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


def finish(folder):
    """Let a run go on to its end; return how long that took."""
    began = time.perf_counter()
    _, status = os.waitpid(start(folder), 0)
    if status:
        raise SystemExit(f"the run failed: {folder.with_suffix('.log').read_text()}")
    return time.perf_counter() - began


def wait(process, seconds):
    """Wait for a process; return whether it ended by itself within so many seconds."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        time.sleep(min(left, 0.05))
    return False


def faults(folder):
    """Return what is wrong in the folder of a run that was killed, and what the kill interrupted."""
    from robustill.errors import RobustillError
    from robustill.models import load_model
    from robustill.training.checkpoint import read_checkpoint

    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    found = [f"unexpected file {name}" for name in sorted(names - FINAL) if not name.startswith(".")]
    for name in sorted(names & FINAL):
        try:
            if name.endswith(".pt"):
                read_checkpoint(folder / name)
            elif name.endswith(".safetensors"):
                load_model(folder / name)
            elif name.endswith(".toml"):
                tomllib.loads((folder / name).read_text())
            else:
                # The last line may be cut: the checkpoint says where the good part ends.
                [json.loads(line) for line in (folder / name).read_text().splitlines()[:-1]]
        except (RobustillError, ValueError) as error:
            found.append(f"{name}: {error}")
    during = "writing" if any(name.endswith((".tmp", ".link")) for name in names) else "training"
    return found, during if {"last.pt", "last.previous.pt"} & names else "before the first checkpoint"


def left_behind(folder):
    """Return what a run that ended left: files with their bytes, metrics without times."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".safetensors"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
    return {**found, "metrics.jsonl": lines, "names": sorted(path.name for path in folder.iterdir())}


def compare(folder, whole):
    found = left_behind(folder)
    return [f"{name} differs" for name in sorted(whole.keys() | found.keys()) if whole.get(name) != found.get(name)]


def campaign(kills, seed, place):
    """Kill until there were enough kills; return the table's values."""
    draw, wrong, hits = random.Random(seed), [], {"before the first checkpoint": 0, "training": 0, "writing": 0}
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        robustill.cli.main(command(place / "whole", False))
    whole, run, runs = left_behind(place / "whole"), place / "run-1", 1
    length = finish(place / "again")
    wrong += [f"again: {each}" for each in compare(place / "again", whole)]
    while sum(hits.values()) < kills:
        began, fresh = time.perf_counter(), not run.exists()
        process = start(run)
        if wait(process, draw.uniform(0, 0.6 * length)):
            # The machine may have become faster: a kill must find the run alive.
            length = min(length, time.perf_counter() - began) if fresh else length
            wrong += [f"{run.name}: {each}" for each in compare(run, whole)]
            runs, run = runs + 1, place / f"run-{runs + 1}"
            continue
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        found, during = faults(run)
        hits[during] += 1
        wrong += [f"{run.name}, kill {sum(hits.values())}: {each}" for each in found]
    finish(run)
    wrong += [f"{run.name}: {each}" for each in compare(run, whole)]
    return {"kills": kills, "hits": hits, "runs": runs, "run_seconds": round(length, 2), "wrong": wrong}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    began = time.perf_counter()
    try:
        found = campaign(options.kills, options.seed, place)
    finally:
        shutil.rmtree(place)
    print(f"| kills | {' | '.join(found['hits'])} | runs they fell on | undisturbed run | differences |")
    print("|" + "---|" * (len(found["hits"]) + 4))
    cells = [found["kills"], *found["hits"].values(), found["runs"], f"{found['run_seconds']} s", len(found["wrong"])]
    print("| " + " | ".join(map(str, cells)) + " |")
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    for each in found["wrong"]:
        print(f"WRONG: {each}")
    write([found], options.json)
    raise SystemExit(bool(found["wrong"]))


if __name__ == "__main__":
    main()
