"""The results that a method's page shows, from the JSON files in results/."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from robustill.study import paired

RESULTS = Path(__file__).resolve().parents[1] / "results"
SOURCE = "https://github.com/robustill/robustill/blob/main/results/"
_HEAD = """| recipe | student | clean | PGD-20 | mean of both | PGD-20 less RSLAD's | mean less RSLAD's |
|---|---|---|---|---|---|---|"""
_ELSEWHERE = {
    "soften": "Softened teachers of several students: [results/robust-teachers.md]({}robust-teachers.md).",
}

# Recipes whose name is not the method's.
_METHODS = {"iad2": "iad"}

# Clean, PGD-20 and their mean for each seed, of one recipe and student.
Runs = Sequence[Sequence[float]]


def rows(name: str) -> dict[tuple[str, str], tuple[Runs, Runs]]:
    """Return (recipe, student) -> the runs of a method and those of RSLAD, which are compared seed by seed."""
    return _six_epochs(name) or _faithful(name)


def section(name: str) -> str:
    """Return the section "Results" of a method's page; it says so where there are none."""
    found = rows(name)
    if not found:
        said = _ELSEWHERE.get(name, "Not measured yet on three seeds beside the other methods.").format(SOURCE)
        return f"## Results\n\n{said}\n"
    page = "fashion-mnist-methods.md" if _six_epochs(name) else "faithful.md"
    table = "\n".join([_HEAD, *(_row(*key, *runs) for key, runs in found.items())])
    return f"""## Results

Fashion-MNIST, Linf eps 0.1, 10,000 test images, student `cnn_small`, trained by the recipe on a CPU in minutes:
percent, mean ± standard deviation of three seeds. Differences are in points, paired by seed, with their 95% t interval;
with three seeds it is wide, and nothing is corrected for the number of methods. Setting, costs and what the numbers do
not show: [results/{page}]({SOURCE}{page}).

{table}

*selected*: the epoch chosen on validation images; *last*: the last one. PGD-20 is an attack: robust accuracy is at most
that.
"""


def short(name: str) -> tuple[str, str, str]:
    """Return clean accuracy, PGD-20 accuracy and paired difference of the last (or only) students, for the overview."""
    found = rows(name)
    if not found:
        return "", "", ""
    runs, base = list(found.values())[1 if len(found) > 1 and _six_epochs(name) else 0]
    return _mean(runs, 0), _mean(runs, 1), _difference(runs, base, 1)


def _six_epochs(name: str) -> dict[tuple[str, str], tuple[Runs, Runs]]:
    runs: Mapping[str, Runs] = json.loads((RESULTS / "fashion-mnist-methods.json").read_text(encoding="utf-8"))["runs"]
    return {
        (f"fashion-mnist_{key}_cnn-small", student): (_part(each, at), _part(runs["rslad"], at))
        for key, each in runs.items()
        if _METHODS.get(key, key.replace("-", "_")) == name
        for student, at in (("selected", 0), ("last", 3))
    }


def _faithful(name: str) -> dict[tuple[str, str], tuple[Runs, Runs]]:
    methods = json.loads((RESULTS / "faithful.json").read_text(encoding="utf-8"))["methods"]
    if name not in methods:
        return {}

    def numbers(which: str) -> Runs:
        found = [(100 * run["clean"], 100 * run["robust"]) for run in methods[which]]
        return [(clean, robust, (clean + robust) / 2) for clean, robust in found]

    return {(f"fashion-mnist_{name}_cnn-small", "selected"): (numbers(name), numbers("rslad"))}


def _part(runs: Runs, at: int) -> Runs:
    return [run[at : at + 3] for run in runs]


def _row(recipe: str, student: str, runs: Runs, base: Runs) -> str:
    cells = [f"`{recipe}`", student, *(_mean(runs, k) for k in range(3)), *(_difference(runs, base, k) for k in (1, 2))]
    return "| " + " | ".join(cells) + " |"


def _mean(runs: Runs, k: int) -> str:
    values = [run[k] for run in runs]
    return _together(f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}")


def _difference(runs: Runs, base: Runs, k: int) -> str:
    ours, theirs = ({seed: run[k] for seed, run in enumerate(each)} for each in (runs, base))
    found = paired(ours, theirs)
    if found is None or ours == theirs:
        return "-"
    low, high = found["interval"]
    return _together(f"{found['difference']:+.2f} [{low:+.2f}, {high:+.2f}]")


def _together(text: str) -> str:
    """Return a number with its spread as one word, which no table breaks."""
    return text.replace(" ", "\u00a0")
