"""What a training step of each method costs, as a ratio to PGD-AT's in the same run.

    python benchmarks/method_cost.py --rounds 5 --out results/method-cost.md

Networks, attack, precision and batch size are those of the Fashion-MNIST recipes (`cnn_small` student, `cnn_wide`
teachers); images are random, weights untrained: neither changes what a step computes. Methods take turns, one step each
per round, so that a busy moment of the machine falls on all of them. Beside the table, `--out x.md` writes `x.json`,
from which `fashion_mnist_methods.py` takes its column of seconds per epoch.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from robustill.models import build_model
from robustill.recipe import Recipe, load_recipe, shipped_recipes
from robustill.recipe.method import plan
from robustill.training.views import install_views

SHAPE, CLASSES, STEPS = (1, 28, 28), 10, 223
HEAD = """# What a training step of each method costs

`python benchmarks/method_cost.py --rounds {rounds} --out {out}`: medians of {rounds} rounds in turn, one thread, batch
{batch}, `cnn_small` student and `cnn_wide` teachers, bfloat16, attacks on views, all else still. An epoch has 223
steps. Teachers are asked in every step; a run without augmentation remembers what they say of clean images.
"""


def network(name: str) -> torch.nn.Module:
    return build_model(name, num_classes=CLASSES, shape=SHAPE).to(memory_format=torch.channels_last)


def prepared(recipe: Recipe, sample: torch.Tensor):
    """Return a function that takes one training step of the recipe's method, as `train` does it."""
    method = plan(recipe.method, recipe.attack)
    named = {
        name: network(str(source) if wanted.fresh else "cnn_wide")
        for name, wanted in method.wanted().items()
        if (source := recipe.teachers.get(name)) is not None
    }
    built = method.build(network("cnn_small"), named).train()
    install_views(built, sample, torch.bfloat16, channels_last=True)
    built.begin_epoch(recipe.training.epochs - 1, 1.0, recipe.training.epochs)
    optimizer = torch.optim.SGD(built.parameters(), lr=1e-4, momentum=0.9)

    def step(x: torch.Tensor, y: torch.Tensor) -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = built(x, y)
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        built.after_step()
        return time.perf_counter() - began

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keys = [name for name in shipped_recipes() if name.startswith("fashion-mnist_") and name.endswith("_cnn-small")]
    # Its recipe names a file of another command; a step of it costs what one of its base does.
    keys.remove("fashion-mnist_soften_cnn-small")
    x = torch.rand(options.batch_size, *SHAPE).contiguous(memory_format=torch.channels_last)
    y = torch.arange(options.batch_size) % CLASSES
    steps = {key.split("_")[1]: prepared(load_recipe(key), x[:8]) for key in keys}
    seconds: dict[str, list[float]] = {key: [] for key in steps}
    for round_ in range(options.rounds + 1):
        for key, step in steps.items():
            taken = step(x, y)
            # The first round only warms up.
            if round_:
                seconds[key].append(taken)
    cost = {key: statistics.median(values) for key, values in seconds.items()}
    lines = ["| method | step, ms | epoch, s | ratio to pgd-at |", "| --- | --- | --- | --- |"]
    for key, value in sorted(cost.items(), key=lambda item: item[1]):
        lines.append(f"| {key} | {1000 * value:.0f} | {STEPS * value:.1f} | {value / cost['pgd-at']:.2f} |")
    print("\n".join(lines))
    if options.out is not None:
        head = HEAD.format(rounds=options.rounds, batch=options.batch_size, out=options.out)
        options.out.write_text("\n".join([head, *lines]) + "\n")
        epochs = {key: round(STEPS * value, 2) for key, value in cost.items()}
        options.out.with_suffix(".json").write_text(json.dumps(epochs, indent=1) + "\n")


if __name__ == "__main__":
    main()
