"""PGD-10 training attacks: images per second, as ratios to the loop of the released papers' code, in one run.

    python benchmarks/attack_speed.py [--model resnet18] [--batch 64]

The baseline computes `loss.backward()` in every step, weight gradients included. Rounds are interleaved, so that a
busy machine slows all contestants alike; the median is reported. What bfloat16 is worth depends on the CPU: with
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2, one without it is imitated.
"""

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
import torch.nn.functional as F

from robustill.attacks import PGD, eval_mode
from robustill.losses import cross_entropy
from robustill.models import attack_view, build_model


def paper_loop(model, x, y, eps, step, steps):
    x_adv = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
    for _ in range(steps):
        x_adv.requires_grad_()
        loss = F.cross_entropy(model(x_adv), y)
        loss.backward()
        x_adv = x_adv.detach() + step * x_adv.grad.sign()
        x_adv = torch.min(torch.max(x_adv, x - eps), x + eps).clamp(0, 1)
    return x_adv.detach()


def contestants(model, attack, sample):
    fast = torch.channels_last
    views = {dtype: attack_view(model, dtype=dtype, sample=sample) for dtype in (torch.float32, torch.bfloat16)}

    def seen(x, y, dtype):
        return attack(lambda x_adv: cross_entropy(views[dtype](x_adv), y), x)

    def ours(x, y, layout=torch.contiguous_format, precision=None):
        model.to(memory_format=layout)
        x = x.contiguous(memory_format=layout)
        cast = torch.autocast(x.device.type, precision) if precision else nullcontext()
        with cast, eval_mode(model):
            return attack(lambda x_adv: cross_entropy(model(x_adv), y), x)

    def paper(x, y):
        model.to(memory_format=torch.contiguous_format)
        return paper_loop(model.eval(), x, y, attack.eps, attack.step_size, attack.steps)

    return {
        "paper-style loop (baseline)": paper,
        "robustill, float32": ours,
        "robustill, float32 channels-last": lambda x, y: ours(x, y, fast),
        "robustill, bfloat16 channels-last": lambda x, y: ours(x, y, fast, torch.bfloat16),
        "robustill, a view in float32": lambda x, y: seen(x, y, torch.float32),
        "robustill, a view in bfloat16": lambda x, y: seen(x, y, torch.bfloat16),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cnn_small")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    shape = (1, 28, 28) if options.model.startswith("cnn") else (3, 32, 32)
    model = build_model(options.model, num_classes=10, shape=shape).to(options.device)
    x = torch.rand(options.batch, *shape, device=options.device)
    y = torch.randint(10, (options.batch,), device=options.device)
    runs = contestants(model.eval(), PGD(eps=8 / 255, step_size=2 / 255, steps=10), x[:8])
    seconds = {name: [] for name in runs}
    for round_ in range(options.rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run(x, y)
            if options.device == "cuda":
                torch.cuda.synchronize()
            if round_:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    base = statistics.median(seconds["paper-style loop (baseline)"])
    print(f"{options.model}, PGD-10, batch {options.batch}, {options.device}, {torch.get_num_threads()} threads")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:36} {options.batch / median:9.1f} images/s   {base / median:5.2f}x")


if __name__ == "__main__":
    main()
