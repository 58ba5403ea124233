"""Does a teacher's entropy on the unlearnable set foretell its student? Real images, a setting that overfits robustly.

    python benchmarks/robust_teachers.py --runs runs/fashion-mnist-methods --out runs/robust-teachers --jobs 2

500 images of Fashion-MNIST, `cnn_small`, eps 0.1, 120 epochs. Reference models (PGD-AT, three seeds, robust peak) give
the unlearnable set; nine teachers teach students of three seeds by RSLAD; then one teacher's soft labels are
replaced on the unlearnable images alone (uniform, one-hot), on a part of them, and on as many others of the same
classes as that part has (placebo).
`--runs` holds teachers trained on all images, as `fashion_mnist_methods.py` leaves them. What is in `--out` is not
computed again; `robust_teachers_page.py` turns it into the table and the figures.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from robustill import evaluate, load_data, load_model, train
from robustill.attacks import PGD
from robustill.diagnostics.learnability import save_learnability, train_references, unlearnable
from robustill.diagnostics.ranking import rank_teachers
from robustill.methods import PGDAT, RSLAD, Soften
from robustill.models import build_model
from robustill.training import Settings

EPS, SEEDS, REFERENCES = 0.1, (0, 1, 2), (10, 11, 12)
ATTACK = PGD(eps=EPS, step_size=0.05, steps=5)
SETTINGS = Settings(
    epochs=120, batch_size=64, threads=1, mixed_precision="bf16", channels_last=True,
    optimizer={"lr": 0.1, "nesterov": True, "weight_decay": 0},
    schedule={"milestones": (84, 108)}, clip_norm=1.0, selection={"every": 5, "steps": 10},
)  # fmt: skip
WHOLE = {  # trained on all images: name -> (run, factor of the logits, family)
    "wide, all images": ("teacher_adv", 1, "wide"),
    "wide, all images, T = 4": ("teacher_adv", 1 / 4, "wide"),
    "wide, all images, T = 1/4": ("teacher_adv", 4, "wide"),
    "small, all images": ("pgd-at-seed0", 1, "small"),
    "TRADES, all images": ("trades-seed0", 1, "trades"),
    "RSLAD student": ("rslad-seed0", 1, "rslad"),
}
OWN = {"small": "cnn_small", "wide": "cnn_wide"}  # trained on the 500 images, at their peak and at their end
FAMILIES = {name: family for name, (_, _, family) in WHOLE.items()}
FAMILIES |= {
    "small, 500 images, peak": "small 500",
    "small, 500 images, last": "small 500",
    "wide, 500 images, peak": "wide 500",
}
ARM_TEACHER = "wide, all images"
ARMS = {  # name -> (mode, rows)
    "uniform": ("uniform", "unlearnable"),
    "one-hot": ("one_hot", "unlearnable"),
    "uniform, part": ("uniform", "part"),
    "one-hot, part": ("one_hot", "part"),
    "uniform, placebo": ("uniform", "placebo"),
    "one-hot, placebo": ("one_hot", "placebo"),
}


class Scaled(nn.Module):
    """A network with its logits multiplied: the same classes, at another temperature."""

    def __init__(self, network, factor):
        super().__init__()
        self.network = network
        # A buffer, so that it moves with the network; a plain attribute would tell networks apart as well.
        self.register_buffer("factor", torch.tensor(float(factor)))

    def forward(self, x):
        return self.network(x) * self.factor


def data_of():
    return load_data("fashion-mnist", limit=1500, validation=1000)


def fresh(architecture, seed):
    torch.manual_seed(seed)
    return build_model(architecture, num_classes=10, shape=(1, 28, 28))


def teacher(name, options):
    if name in WHOLE:
        run, factor, _ = WHOLE[name]
        network = load_model(options.runs / run)
        return network if factor == 1 else Scaled(network, factor)
    own, _, which = name.split(", ")
    file = "student.safetensors" if which == "peak" else "student_last.safetensors"
    return load_model(options.out / f"own-{own}" / file)


def own_teacher(name, options):
    folder = options.out / f"own-{name}"
    if not (folder / "student_last.safetensors").exists():
        method = PGDAT(fresh(OWN[name], 100), attack=ATTACK)
        train(method, data_of(), SETTINGS, seed=100, out=folder, resume=(folder / "last.pt").exists(), progress=False)


def matched(sets, options):
    """Write a part of the unlearnable images and as many others of each class: some classes have too few others."""
    wrong, chosen = sets.unlearnable(), {"part": [], "placebo": []}
    others = sorted(set(range(len(sets.labels))) - set(wrong.tolist()))
    order = torch.randperm(len(sets.labels), generator=torch.Generator().manual_seed(0)).tolist()
    for label in range(10):
        pools = [
            [i for i in order if i in pool and sets.labels[i] == label] for pool in (set(wrong.tolist()), set(others))
        ]
        size = min(map(len, pools))
        for name, pool in zip(chosen, pools, strict=True):
            chosen[name] += pool[:size]
    for name, positions in chosen.items():
        save_file({"unlearnable": sets.rows[sorted(positions)].contiguous()}, options.out / f"{name}.safetensors")


def references(options):
    data = data_of()
    found = train_references(
        lambda seed: PGDAT(fresh("cnn_small", seed), attack=ATTACK), data, SETTINGS, seeds=REFERENCES,
        out=options.out, progress=False,
    )  # fmt: skip
    sets = unlearnable(found, data, "pgd10", eps=EPS, out=options.out / "verdicts", progress=False)
    save_learnability(sets, options.out / "unlearnable.safetensors")
    matched(sets, options)
    return data, found, sets


def method_of(kind, seed, options):
    student = fresh("cnn_small", seed)
    if kind == "PGD-AT":
        return PGDAT(student, attack=ATTACK)
    given = teacher(ARM_TEACHER if kind in ARMS else kind, options)
    base = RSLAD(student, given, attack=ATTACK)
    if kind not in ARMS:
        return base
    mode, rows = ARMS[kind]
    return Soften(base, subset=options.out / f"{rows}.safetensors", mode=mode)


def student(kind, seed, options):
    """Train and judge one student; its course and its verdicts go to `students/KIND-SEED.json`."""
    file = options.out / "students" / f"{kind}-{seed}.json".replace("/", ":")
    if file.exists():
        return
    data = data_of()
    watched = {"images": 300, "subset": str(options.out / "unlearnable.safetensors")}
    result = train(method_of(kind, seed, options), data, SETTINGS, seed=seed, overfitting=watched, progress=False)
    whole = load_data("fashion-mnist", validation=1000)
    found = {"kind": kind, "seed": seed, "best": result.best, "history": result.history}
    for name, network in (("best", result.student), ("last", result.student_last)):
        judged = evaluate(network, whole, eps=EPS, attacks=["pgd20", "cw"], images=3000, checks=False, progress=False)
        found[f"test_{name}"] = {"clean": judged.accuracy("clean"), "robust": float(judged.robust.double().mean())}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(found) + "\n")


def work(options):
    """Do one part in this process: `own NAME`, `rank`, or `student KIND SEED`."""
    torch.set_num_threads(1)
    what, *rest = options.work
    if what == "own":
        own_teacher(rest[0], options)
    elif what == "student":
        student(rest[0], int(rest[1]), options)
    else:
        data, found, sets = references(options)
        teachers = {name: teacher(name, options).eval() for name in FAMILIES}
        ranking = rank_teachers(
            teachers, next(iter(found.values())), data, sets, surface="clean", out=options.out / "answers",
            progress=False,
        )  # fmt: skip
        content = {
            **ranking.to_json(),
            "scores": ranking.scores(),
            "baselines": ranking.baselines(),
        }
        (options.out / "teachers.json").write_text(json.dumps(content, indent=1) + "\n")


def part(options, *what):
    command = [sys.executable, __file__, "--runs", options.runs, "--out", options.out, "--work", *what]
    subprocess.run([str(c) for c in command], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    print(*what, "done", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.work:
        return work(options)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda name: part(options, "own", name), OWN))
        part(options, "rank")
        kinds = [("student", kind, seed) for seed in SEEDS for kind in ("PGD-AT", *FAMILIES, *ARMS)]
        list(pool.map(lambda each: part(options, *each), kinds))


if __name__ == "__main__":
    main()
