"""Bounds of a 28x28 network against dense matrices, one neuron at a time, in float64: are the widths equal?

python benchmarks/dense_bounds.py [--batch 100] [--eps 0.03]
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import nn

from robustill.certification import bounds

# The references live beside the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.reference.dense_bounds import dense_bounds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--eps", type=float, default=0.03)
    options = parser.parse_args()
    torch.manual_seed(0)
    modules = [
        nn.Conv2d(1, 8, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(784, 10),
    ]
    network = nn.Sequential(*modules).double().eval()
    steps = [(None, ()), *((module, (index,)) for index, module in enumerate(network.children()))]
    x, rows = torch.rand(options.batch, 1, 28, 28, dtype=torch.float64), torch.eye(10, dtype=torch.float64)
    for method in ("ibp", "crown-ibp", "crown"):
        began = time.perf_counter()
        with torch.no_grad():
            found = bounds(network, x, options.eps, method, rows=rows)
        between = time.perf_counter()
        lower, upper = dense_bounds(steps, x, options.eps, method, rows)
        ours, dense = found.upper - found.lower, upper - lower
        apart = float(((ours - dense) / dense).abs().max())
        print(
            f"{method:9}  mean width {ours.mean():.6f}  largest relative difference {apart:.1e}"
            f"  {between - began:.2f} s, dense {time.perf_counter() - between:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
