"""Relative calibration and certified agreement of distilled students on Fashion-MNIST, three seeds each.

    python benchmarks/faithful.py --runs runs/fashion-mnist-methods --out runs/faithful --images 100

All students are `cnn_small`; all are compared with the robust teacher, a `cnn_wide` trained by PGD-AT, which taught
all of them but `ibp` (B-MTARD's had a clean one besides). ARD, RSLAD, AdaAD and B-MTARD are those that
`fashion_mnist_methods.py` leaves in `--runs`; KD, `ibp` and `faithful` are trained here. Full CROWN from above, and
from below PGD on the gap, on either network and on their divergence. The teacher is bounded once for all students.
What is in `--out` is not computed again; `faithful_page.py` turns it into the table and the figure.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from robustill import evaluate, load_data, load_model
from robustill.certification import Bounder, PairBounder
from robustill.diagnostics.bracket.pair_attack import attack_pair
from robustill.diagnostics.bracket.pair_bounds import bound_both
from robustill.diagnostics.bracket.search import Search
from robustill.evaluation.subset import balanced
from robustill.progress import bar

RADII, SEEDS, AT_ONCE = (0.01, 0.03, 0.05, 0.1), (0, 1, 2), 10
GIVEN = ("ard", "rslad", "adaad", "bmtard")
TRAINED = {"kd": ("teacher",), "faithful": ("teacher",), "ibp": ()}
METHODS = ("kd", *GIVEN, "faithful", "ibp")


def students(options):
    """Return the folder of each student's run by (method, seed); what is missing is trained."""
    found = {(method, seed): options.runs / f"{method}-seed{seed}" for method in GIVEN for seed in SEEDS}
    for seed in SEEDS:
        for method, teachers in TRAINED.items():
            folder = options.out / f"{method}-seed{seed}"
            found[method, seed] = folder
            if not (folder / "student_last.safetensors").exists():
                sets = [
                    f"training.seed={seed}",
                    *(f"teachers.{name}={options.runs / 'teacher_adv'}" for name in teachers),
                ]
                resume = ["--resume"] if (folder / "last.pt").exists() else []
                command = [sys.executable, "-m", "robustill", "train", f"fashion-mnist_{method}_cnn-small"]
                command += ["--out", str(folder), *resume, *(part for each in sets for part in ("--set", each))]
                subprocess.run(command, check=True)
    return found


def accuracies(model, data):
    found = evaluate(model, data, eps=0.1, attacks=["pgd20"], checks=False, progress=False)
    return {"clean": found.accuracy("clean"), "robust": float(found.robust.double().mean())}


def bounded(models, teacher, x, y, shown):
    """Return `{(method, seed): {eps: {what: [n]}}}`, a few images at a time."""
    found = {key: {eps: [] for eps in RADII} for key in models}
    for eps in RADII:
        for part in torch.split(torch.arange(len(x)), AT_ONCE):
            with torch.no_grad():
                of_teacher = Bounder(teacher, x[part], eps)
                for key, model in models.items():
                    pair = PairBounder(Bounder(model, x[part], eps), of_teacher)
                    found[key][eps].append(bound_both(pair, y[part], 1.0))
            shown.advance()
    return {key: {eps: joined(parts) for eps, parts in each.items()} for key, each in found.items()}


def joined(parts):
    return {name: torch.cat([part[name] for part in parts]).tolist() for name in parts[0]}


def attacked(model, teacher, x, y, right, eps, options):
    networks = [model, teacher]
    search = Search(networks, x, eps, "Linf", options.steps, options.restarts, 0, range(len(x)))
    found = attack_pair(search, y, right, temperature=1.0, targets=options.targets)
    return {name: value.tolist() for name, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20, help="of each attack")
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--targets", type=int, default=2)
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    folders = {key: folder for key, folder in students(options).items() if key[0] in options.only}
    if options.train_only:
        return
    data = load_data("fashion-mnist", validation=3000)
    index = balanced(data.test.labels, options.images, 0)
    x, y = data.test.images(index).float() / 255, data.test.labels[index]
    teacher = load_model(options.runs / "teacher_adv").eval()
    models = {key: load_model(folder).eval() for key, folder in folders.items()}
    with torch.no_grad():
        right = teacher(x).argmax(1) == y
        p_teacher = teacher(x).softmax(1).gather(1, y[:, None]).squeeze(1)
    file = options.out / "found.json"
    rows = json.loads(file.read_text()) if file.exists() else {"images": options.images, "students": {}}
    rows |= {"right": right.tolist(), "teacher": accuracies(teacher, data)} if "teacher" not in rows else {}
    new = {key: model for key, model in models.items() if "-".join(map(str, key)) not in rows["students"]}
    count = len(RADII) * -(-len(x) // AT_ONCE)
    with bar("bounds", count) as shown:
        above = bounded(new, teacher, x, y, shown) if new else {}
    with bar("attacks", len(new) * len(RADII)) as shown:
        for key, model in new.items():
            with torch.no_grad():
                gap = (model(x).softmax(1).gather(1, y[:, None]).squeeze(1) - p_teacher).abs().tolist()
            radii = {}
            for eps in RADII:
                below = attacked(model, teacher, x, y, right, eps, options)
                radii[str(eps)] = {"above": above[key][eps], "below": below}
                shown.advance()
            rows["students"]["-".join(map(str, key))] = {**accuracies(model, data), "gap": gap, "radii": radii}
            file.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
