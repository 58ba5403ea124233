"""Two processes of one thread against one process of two threads, learning the same batches in turn, in one run.

    python benchmarks/processes.py                                   # cnn_small on 28x28 images
    python benchmarks/processes.py --batch 64 --rounds 3 --methods rslad --json processes.json

Both are robustill; all processes stay alive, and those whose turn it is not wait. Printed are the images per second of
the two processes together, and the median ratio with its range over rounds: above 1 where two processes need less time.
"""

import argparse
import os
import socket
import time
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
from rows import row, show, write

from robustill.attacks import PGD
from robustill.data import Data
from robustill.methods import BMTARD, RSLAD, PeerAiD
from robustill.models import build_model
from robustill.training import Settings
from robustill.training.parts import positions
from robustill.training.run import Run

ATTACK = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian")
KEYS = ("rslad", "bmtard", "peeraid")


def begin(key, options):
    """Return a run on random images of Fashion-MNIST's shape."""
    torch.manual_seed(0)
    nets = [build_model(options.model, num_classes=10, shape=(1, 28, 28)) for _ in range(3)]
    count = options.batch * (options.steps + 1)
    part = (np.random.default_rng(0).integers(0, 256, (count, 1, 28, 28), dtype=np.uint8), np.arange(count) % 10)
    data = Data.from_arrays(part, (part[0][:10], part[1][:10]), validation=0)
    method = {
        "rslad": lambda: RSLAD(*nets[:2], attack=ATTACK),
        "bmtard": lambda: BMTARD(*nets, attack=ATTACK),
        "peeraid": lambda: PeerAiD(*nets[:2], attack=ATTACK),
    }[key]()
    return Run(
        method, data, Settings(device="cpu", epochs=10**6, batch_size=options.batch, remember_teachers=False), None
    )


def steps(run):
    """Take one training step after the other, for ever."""
    run.method.train()
    run.method.begin_epoch(0, 1.0, 1)
    while True:
        for (x, y), rows in zip(run._batches(0, run._own), run.answers.order(run.epoch, 0), strict=True):
            run.portions = run.processes.portions(len(rows), 1)
            run.answers.begin(rows[positions(run.portions)])
            yield run._train_step(x, y)
        run.monitor.flush(run.epoch)
        run.step = 0


def contestant(pipe, key, options, environment, threads):
    """Take as many steps as the pipe says, and answer how long they took."""
    os.environ.update(environment)
    torch.set_num_threads(threads)
    run = begin(key, options)
    each = steps(run)
    while count := pipe.recv():
        run.processes.any(False)
        began = time.perf_counter()
        for _ in range(count):
            next(each)
        pipe.send(time.perf_counter() - began)


def start(context, key, options, processes, threads):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes, started = [], []
    for rank in range(processes):
        world = {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": processes}
        environment = {name: str(value) for name, value in world.items()} if processes > 1 else {}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": str(threads)}
        ours, theirs = context.Pipe()
        process = context.Process(target=contestant, args=(theirs, key, options, environment, threads), daemon=True)
        process.start()
        pipes.append(ours)
        started.append(process)
    return pipes, started


def seconds(pipes, count):
    """Let all processes of a contestant take `count` steps; return the time of the slowest."""
    for pipe in pipes:
        pipe.send(count)
    return max(pipe.recv() for pipe in pipes)


def measure(key, options):
    context = mp.get_context("spawn")
    sides = {"one": start(context, key, options, 1, 2), "two": start(context, key, options, 2, 1)}
    taken = {name: [] for name in sides}
    for round_ in range(options.rounds + 1):
        for name, (pipes, _) in sides.items():
            spent = seconds(pipes, options.steps)
            if round_:  # the first round warms up
                taken[name].append(spent)
    for pipes, started in sides.values():
        for pipe in pipes:
            pipe.send(0)
        for process in started:
            process.join()
    return row(f"{key}/{options.model}", taken["one"], taken["two"], images=options.batch * options.steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn_small")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=KEYS, default=KEYS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{options.model}, batch {options.batch}, {options.rounds} rounds: 2 processes against 2 threads")
    rows = []
    for key in options.methods:
        rows.append(measure(key, options))
        show(rows[-1])
    write(rows, options.json)


if __name__ == "__main__":
    main()
