"""Peak memory of whole training steps: robustill against the released-style loop of training.py, each in its process.

    python benchmarks/memory.py [--model resnet18] [--batch 64] [--json FILE]

On a CPU it is the largest resident size of the process beyond that after building the networks; on a GPU PyTorch's own
count.
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import torch
from rows import row, show, write

from training import KEYS, networks, our_step, released_step


def peak(device):
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def child(options):
    """Take two steps and print the bytes they needed."""
    torch.set_num_threads(1)
    shape = (1, 28, 28) if options.model.startswith("cnn") else (3, 32, 32)
    x = torch.rand(options.batch, *shape, device=options.device)
    y = torch.randint(10, (options.batch,), device=options.device)
    _, *parts = networks(options, shape)
    before = peak(options.device)
    if options.child == "released":
        step = released_step(options.methods[0], *parts)
    else:
        step = our_step(options.methods[0], *parts, x, torch.bfloat16)
    for _ in range(2):
        step(x, y)
    print(peak(options.device) - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--methods", nargs="+", choices=KEYS, default=KEYS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--child", choices=("released", "robustill"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    rows = []
    for key in options.methods:
        common = ["--model", options.model, "--batch", str(options.batch), "--device", options.device]
        used = []
        for who in ("released", "robustill"):
            command = [sys.executable, __file__, *common, "--methods", key, "--child", who]
            used.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        rows.append(row(f"{key}/{options.model}", [used[0]], [used[1]]))
        print(f"{key}: {used[0] / 2**20:.0f} MiB released-style, {used[1] / 2**20:.0f} MiB here")
        show(rows[-1])
    write(rows, options.json)


if __name__ == "__main__":
    main()
