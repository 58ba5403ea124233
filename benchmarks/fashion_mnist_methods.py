"""Fashion-MNIST, eps 0.1: every method, three seeds, best and last student.

    python benchmarks/fashion_mnist_methods.py --out runs/fashion-mnist-methods --jobs 2

Trains what is missing, evaluates what is missing, and rewrites the table from the stored evaluations: a second run
computes nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from safetensors.torch import load_file
from scipy.stats import t as student_t

from robustill.data import load_data

TEACHERS = {"teacher_nat": "fashion-mnist_standard_cnn-wide", "teacher_adv": "fashion-mnist_pgd-at_cnn-wide"}
ONE, NAT = {"teacher": "teacher_adv"}, {"teacher_nat": "teacher_nat"}
TWO = {"teacher_adv": "teacher_adv", **NAT}
METHODS = {
    "standard": ("standard", {}),
    "kd": ("KD", {"teacher": "teacher_nat"}),
    "pgd-at": ("PGD-AT", {}),
    "trades": ("TRADES", {}),
    "mart": ("MART", {}),
    "hat": ("HAT", NAT),
    "lbgat": ("LBGAT", {}),
    "ard": ("ARD", ONE),
    "fair-ard": ("Fair-ARD", ONE),
    "iad": ("IAD-I", ONE),
    "iad2": ("IAD-II", {**ONE, **NAT}),
    "akd": ("AKD", ONE),
    "akd2": ("AKD2", TWO),
    "rslad": ("RSLAD", ONE),
    "igdm": ("IGDM (RSLAD)", ONE),
    "absld": ("ABSLD", ONE),
    "adaad": ("AdaAD", ONE),
    "adaiad": ("AdaIAD", ONE),
    "dgad": ("DGAD", ONE),
    "saad": ("SAAD", ONE),
    "mtard": ("MTARD", TWO),
    "bmtard": ("B-MTARD", TWO),
    "ciard": ("CIARD", TWO),
    "peeraid": ("PeerAiD", {}),
    "vfd-adv": ("VFD-Adv (PGD-AT)", NAT),
}
COLUMNS = ("clean", "PGD-20", "WRA")
ATTACKS = ("fgsm", "pgd20")


def robustill(*arguments, log):
    """Run the command line with one thread: two such runs side by side beat one with two threads on small nets."""
    command = [sys.executable, "-c", "from robustill.cli import main; main()", *arguments]
    with log.open("ab") as file:
        code = subprocess.run(command, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode
    if code:
        raise SystemExit(f"{' '.join(arguments)} failed, see {log}")


def finish(recipe, folder, *changes):
    """Train a recipe into `folder` and evaluate both its students, as far as that is not done."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    if not (folder / "student_last.safetensors").exists():
        resume = ["--resume"] if (folder / "last.pt").exists() else []
        sets = [part for change in changes for part in ("--set", change)]
        robustill("train", recipe, "--out", str(folder), *sets, *resume, log=log)
    if not evaluated(folder):
        robustill("evaluate", str(folder), "--attacks", ",".join(ATTACKS), log=log)
    same = (folder / "student.safetensors").read_bytes() == (folder / "student_last.safetensors").read_bytes()
    if not same and not evaluated(folder / "last"):
        robustill("evaluate", str(folder), "--attacks", ",".join(ATTACKS), "--last", log=log)
    if same:
        (folder / "last").mkdir(exist_ok=True)
        (folder / "last" / "evaluation.json").write_text((folder / "evaluation.json").read_text())


def evaluated(folder):
    file = folder / "evaluation.json"
    return file.exists() and set(ATTACKS) <= set(json.loads(file.read_text())["attacks"])


def numbers(folder):
    """Return clean, PGD-20 and WRA in percent, of the selected and of the last student."""
    found = []
    for file in (folder / "evaluation.json", folder / "last" / "evaluation.json"):
        entry = json.loads(file.read_text())
        pgd = entry["attacks"]["pgd20"]
        found += [100 * entry["clean"]["accuracy"], 100 * pgd["accuracy"], 100 * pgd["wra"]]
    return found


def weakest_class(folder, labels):
    """Return the last student's PGD-20 accuracy in percent on the class where it is lowest."""
    file = folder / "last" / "verdicts.safetensors"
    right = load_file(file if file.exists() else folder / "verdicts.safetensors")["pgd20"]
    return min(100 * right[labels == c].double().mean().item() for c in labels.unique())


def spread(values):
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def difference(values, base):
    """Return the mean paired difference over seeds with its 95% t interval."""
    pairs = [a - b for a, b in zip(values, base, strict=True)]
    half = student_t.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / len(pairs) ** 0.5
    return f"{statistics.mean(pairs):+.2f} [{statistics.mean(pairs) - half:+.2f}, {statistics.mean(pairs) + half:+.2f}]"


def complete(key, out, seeds):
    """Return whether all runs of a method are evaluated, best and last student."""
    return all((out / f"{key}-seed{seed}" / "last" / "evaluation.json").exists() for seed in seeds)


def table(out, seeds, cost):
    """Return the table of the methods whose runs are all there, as Markdown, and their numbers."""
    found = [key for key in METHODS if complete(key, out, seeds)]
    runs = {key: [numbers(out / f"{key}-seed{seed}") for seed in seeds] for key in found}
    head = ["method", *(f"{what} ({which})" for which in ("best", "last") for what in COLUMNS)]
    head += ["weakest class, PGD-20 (last)", "WRA - PGD-AT (last)", "s / epoch"]
    labels = load_data("fashion-mnist").test.labels
    rows = []
    for key in found:
        label = METHODS[key][0]
        columns = list(zip(*runs[key], strict=True))
        base = [run[-1] for run in runs["pgd-at"]]
        paired = "-" if key == "pgd-at" or len(seeds) < 2 else difference(columns[-1], base)
        weakest = spread([weakest_class(out / f"{key}-seed{seed}", labels) for seed in seeds])
        seconds = f"{cost[key]:.0f}" if key in cost else "-"
        rows.append([label, *(spread(column) for column in columns), weakest, paired, seconds])
    for folder, name in TEACHERS.items():
        rows.append([f"({name.split('_', 1)[1]})", *(f"{v:.2f}" for v in numbers(out / folder)), *"---"])
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n", runs


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/fashion-mnist-methods"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cost", type=Path, default=Path("results/method-cost.json"), help="of method_cost.py")
    parser.add_argument("--only", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()

    def job(cell):
        key, seed = cell
        teachers = [f"teachers.{name}={options.out / folder}" for name, folder in METHODS[key][1].items()]
        finish(f"fashion-mnist_{key}_cnn-small", options.out / f"{key}-seed{seed}", f"training.seed={seed}", *teachers)

    with ThreadPoolExecutor(options.jobs) as pool:
        if any(METHODS[key][1] for key in options.only):
            list(pool.map(lambda item: finish(item[1], options.out / item[0]), TEACHERS.items()))
        list(pool.map(job, [(key, seed) for key in options.only for seed in options.seeds]))
    if complete("pgd-at", options.out, options.seeds):
        cost = json.loads(options.cost.read_text()) if options.cost.exists() else {}
        text, runs = table(options.out, options.seeds, cost)
        (options.out / "table.md").write_text(text)
        (options.out / "table.json").write_text(json.dumps({"seeds": options.seeds, "runs": runs}, indent=1))
        print(text)
        missing = [key for key in METHODS if key not in runs]
        if missing:
            print(f"not yet complete: {', '.join(missing)}")


if __name__ == "__main__":
    main()
