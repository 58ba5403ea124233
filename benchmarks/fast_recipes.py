"""Do the `*_fast` recipes give as robust a student as the full ones, at what share of the cost?

    python benchmarks/fast_recipes.py --full runs/fashion-mnist-methods --fast runs/fast --json fast-recipes.json

Trains each recipe `fashion-mnist_METHOD_cnn-small_fast` with several seeds under `--fast` (`METHOD-seedN`; what is
there stays), and attacks its last epoch's student, and that of the full recipe's run under `--full`, as
`fashion_mnist_methods.py` leaves it, by AutoAttack on the same images. The cost is the time of whole trainings without
validation, on `--timed` images, full and fast in turn: for that, let nothing else run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from robustill import evaluate, load_data, load_model, train
from robustill.recipe import load_recipe, shipped_recipes

METHODS = tuple(name.split("_")[1] for name in shipped_recipes() if name.endswith("_cnn-small_fast"))


def recipe(method, fast):
    return f"fashion-mnist_{method}_cnn-small{'_fast' if fast else ''}"


def trained(method, seed, options):
    folder = options.fast / f"{method}-seed{seed}"
    if not (folder / "student_last.safetensors").exists():
        sets = [f"training.seed={seed}", *options.set.get(method, [])]
        command = [sys.executable, "-m", "robustill", "train", recipe(method, True), "--out", folder]
        subprocess.run([*command, *(a for s in sets for a in ("--set", s))], check=True)
    return folder


def verdicts(folder, data, options):
    """Return how often the student of the last epoch is right without attack and under AutoAttack."""
    model = load_model(folder / "student_last.safetensors").eval()
    if options.images == 0:
        return [0.0, 0.0]
    found = evaluate(model, data, eps=0.1, attacks=["autoattack"], images=options.images, checks=False, progress=False)
    return [float(found.verdicts["clean"].double().mean()), float(found.robust.double().mean())]


def seconds(method, options):
    """Return the medians of the seconds of a whole run of the full and of the fast recipe, in turn."""
    taken = {False: [], True: []}
    for _ in range(options.rounds):
        for fast, each in taken.items():
            sets = [f"data.limit={options.timed}", "data.validation=0", *options.set.get(method, [])]
            loaded = load_recipe(recipe(method, fast), sets)
            built, data = loaded.build()
            began = time.perf_counter()
            train(built, data, loaded.training, progress=False)
            each.append(time.perf_counter() - began)
    return [statistics.median(each) for each in taken.values()]


def mean(values):
    return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


def line(method, data, options):
    rows = {"full": [], "fast": []}
    for seed in range(options.seeds):
        for kind, folder in (("full", options.full / f"{method}-seed{seed}"), ("fast", trained(method, seed, options))):
            rows[kind].append(verdicts(folder, data, options))
            print(f"{method} {kind} seed {seed}: {rows[kind][-1]}", file=sys.stderr, flush=True)
    gains = [fast[1] - full[1] for full, fast in zip(*rows.values(), strict=True)]
    cost = seconds(method, options)
    cells = [mean([row[k] for row in rows[kind]]) for k in (0, 1) for kind in rows]
    print(f"| {method} | {' | '.join(cells)} | {mean(gains)} | {100 * cost[1] / cost[0]:.1f}% |", flush=True)
    return {"method": method, **rows, "seconds": cost}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", type=Path, required=True)
    parser.add_argument("--fast", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000, help="0 measures the cost alone")
    parser.add_argument("--timed", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--teacher-adv", default="runs/fashion-mnist_pgd-at_cnn-wide")
    parser.add_argument("--teacher-nat", default="runs/fashion-mnist_standard_cnn-wide")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one = [f"teachers.teacher={options.teacher_adv}"]
    two = [f"teachers.teacher_adv={options.teacher_adv}", f"teachers.teacher_nat={options.teacher_nat}"]
    options.set = {"rslad": one, "adaad": one, "bmtard": two}
    torch.set_num_threads(1)
    data = load_data("fashion-mnist", validation=3000)
    columns = "method", *(f"{what}, {kind}" for what in ("clean", "AutoAttack") for kind in ("full", "fast"))
    columns += "difference by seed", "cost"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    rows = []
    for method in options.methods:
        rows.append(line(method, data, options))
        if options.json:
            options.json.write_text(json.dumps({"images": options.images, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
