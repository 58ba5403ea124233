"""Time, peak memory and width of the bounds of two small networks, and of the gap between their confidences.

    python benchmarks/certification.py [--batch 100] [--eps 0.03] [--threads 2] [--json FILE]

The networks are trained here for a few seconds, with PGD on scikit-learn's digits enlarged to 28x28: cnn_small is the
teacher, a smaller one the student. Each method runs in a process of its own; its memory is the largest resident size
beyond that before the bounds.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from rows import write
from sklearn.datasets import load_digits
from torch import nn

from robustill.attacks import PGD, eval_mode
from robustill.certification import Bounder, PairBounder
from robustill.models import build_model

METHODS = ("ibp", "crown-ibp", "crown")
TRAINED = 1400


def networks():
    """Return the student and the teacher with fresh weights."""
    convolutions = [nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU()]
    student = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(784, 10))
    return student, build_model("cnn_small", num_classes=10, shape=(1, 28, 28))


def digits():
    found = load_digits()
    x = torch.tensor(found.images[:, None] / 16, dtype=torch.float32)
    return F.interpolate(x, (28, 28), mode="bilinear").clamp(0, 1), torch.tensor(found.target)


def train(network, x, y, steps=300):
    attack, optimizer = PGD(eps=0.1, step_size=0.05, steps=3), torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(steps):
        chosen = torch.randint(TRAINED, (64,))
        batch, labels = x[chosen], y[chosen]
        with eval_mode(network):
            x_adv = attack(lambda z, labels=labels: F.cross_entropy(network(z), labels, reduction="none"), batch)
        optimizer.zero_grad()
        F.cross_entropy(network(x_adv), labels).backward()
        optimizer.step()


def peak(reset=False):
    """Return the largest resident size; where the system can tell, since the last reset."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(work, repeat):
    """Return the bytes and the shortest time of `repeat` calls, and the result."""
    before, seconds = peak(reset=True), []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "bytes": peak() - before}, result


@torch.no_grad()
def child(options, folder):
    """Print the rows of one method."""
    torch.set_num_threads(options.threads)
    pair = networks()
    for network, name in zip(pair, ("student", "teacher"), strict=True):
        network.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
        network.eval()
    student, teacher = pair
    x = digits()[0][TRAINED : TRAINED + options.batch]
    method, repeat = options.child, 1 if options.child == "crown" else 5
    Bounder(teacher, x[:2], options.eps, method).logits()
    cost, box = measured(lambda: Bounder(teacher, x, options.eps, method).logits(), max(2, repeat))
    rows = [{"name": f"logits/{method}", "eps": options.eps, **cost, "width": box.width.mean().item()}]
    for eps in options.gaps:

        def gap(eps=eps):
            both = (Bounder(network, x, eps, method) for network in (student, teacher))
            return PairBounder(*both).confidence_differences()

        cost, box = measured(gap, repeat)
        rows.append({"name": f"confidence gap/{method}", "eps": eps, **cost, "width": box.width.mean().item()})
    print(json.dumps(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--eps", type=float, default=0.03)
    parser.add_argument("--gaps", type=float, nargs="+", default=[0.01, 0.03])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--child", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options, options.folder)
        return
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for network, name in zip(networks(), ("student", "teacher"), strict=True):
            train(network, *digits())
            torch.save(network.state_dict(), Path(folder) / f"{name}.pt")
        shared = ["--batch", options.batch, "--eps", options.eps, "--threads", options.threads, "--folder", folder]
        for method in METHODS:
            command = [sys.executable, __file__, *shared, "--gaps", *options.gaps, "--child", method]
            run = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=True)
            for row in json.loads(run.stdout):
                rows.append(row)
                print(
                    f"{row['name']:26} eps {row['eps']:<6g} {row['seconds']:8.3f} s "
                    f"{row['bytes'] / 2**20:7.0f} MiB   mean width {row['width']:.4f}",
                    flush=True,
                )
    write(rows, options.json)


if __name__ == "__main__":
    main()
