"""Models whose gradients mislead, and honest ones: what each attack finds, and which checks fire.

    python benchmarks/masked.py runs/standard runs/pgd_at --data fashion-mnist --eps 0.1 --images 200

Each model is evaluated as it is, with its logits multiplied by 1,000 (the cross-entropy saturates), with noise added to
the input on every call, and with the input rounded to 8 grey levels (no gradient passes, though one is pretended).
"""

import argparse

import torch
from torch import nn

from robustill import evaluate, load_data, load_model

ATTACKS = ("pgd20", "autoattack-fast")


class Changed(nn.Module):
    """A model behind a defence that hides its gradients."""

    def __init__(self, model, how):
        super().__init__()
        self.model, self.how = model, how

    def forward(self, x):
        if self.how == "noise":
            x = x + 0.2 * torch.randn_like(x)
        if self.how == "8 grey levels":
            # Multiplied by zero, the input keeps the graph whole and the gradient empty.
            x = (x * 7).round() / 7 + 0 * x
        return self.model(x) * (1000 if self.how == "logits x 1000" else 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--eps", type=float, default=0.1)
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(options.data)
    print("| model | | clean | attack | robust | checks that fired |\n|---|---|---|---|---|---|")
    for name in options.models:
        model = load_model(name, num_classes=data.num_classes, shape=data.shape)
        for how in ("as it is", "logits x 1000", "noise", "8 grey levels"):
            for attack in ATTACKS:
                found = evaluate(
                    Changed(model, how), data, eps=options.eps, attacks=[attack], images=options.images, progress=False
                )
                fired = ", ".join(check.name for check in found.checks if check.fired) or "none"
                accuracies = f"{100 * found.accuracy('clean'):.1f} | {attack} | {100 * found.accuracy():.1f}"
                print(f"| {name} | {how} | {accuracies} | {fired} |", flush=True)


if __name__ == "__main__":
    main()
