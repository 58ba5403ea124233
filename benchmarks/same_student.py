"""Is it the same student? The fast path (bfloat16, channels-last, attack views) against plain float32, seed by seed.

    python benchmarks/same_student.py --json same-student.json

Trains a batch-norm ResNet on Fashion-MNIST by PGD-AT both ways with the same seeds and evaluates the last epoch's
student in float32 by PGD-20. Printed are mean and standard deviation of each way and the differences seed by seed.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from robustill import evaluate, load_data, train
from robustill.attacks import PGD
from robustill.methods import PGDAT
from robustill.models import build_model

WAYS = {
    "float32": {"mixed_precision": "no", "channels_last": False, "attack_view": False},
    "fast": {"mixed_precision": "bf16", "channels_last": True, "attack_view": True},
}


def run(way, seed, data, options):
    torch.manual_seed(seed)
    student = build_model("resnet18", num_classes=data.num_classes, shape=data.shape, width=options.width)
    method = PGDAT(student, attack=PGD(eps=0.1, step_size=0.025, steps=options.steps))
    began = time.perf_counter()
    result = train(
        method, data, epochs=options.epochs, batch_size=128, seed=seed, threads=options.threads,
        progress=options.progress, optimizer={"lr": 0.1, "nesterov": True, "weight_decay": 2e-4},
        schedule={"name": "one_cycle"}, selection={"every": 1000}, **WAYS[way],
    )  # fmt: skip
    seconds = time.perf_counter() - began
    found = evaluate(result.student_last, data, eps=0.1, attacks=["pgd20"], checks=False, progress=options.progress)
    accuracies = {name: found.accuracy(name) for name in ("clean", "pgd20")}
    return {"way": way, "seed": seed, **accuracies, "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="training images, and test images at most")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--root")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    root = {"root": options.root} if options.root else {}
    data = load_data("fashion-mnist", limit=options.images, validation=500, **root)
    rows = []
    for seed in range(options.seeds):
        for way in WAYS:
            rows.append(run(way, seed, data, options))
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
            if options.json:
                options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    for key in ("clean", "pgd20", "seconds"):
        by = {way: [row[key] for row in rows if row["way"] == way] for way in WAYS}
        spread = ", ".join(f"{w} {statistics.mean(v):.4g} ± {statistics.stdev(v):.2g}" for w, v in by.items())
        print(f"{key}: {spread}; fast - float32 by seed:", [round(f - p, 4) for p, f in zip(*by.values(), strict=True)])


if __name__ == "__main__":
    main()
