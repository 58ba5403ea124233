"""The simulation's runs side by side in one batch, against the same runs one after another by autograd, in turn.

    python benchmarks/simulation.py [--rounds 1] [--threads 1]

The baseline is the straightforward script: one student at a time, one sample a step, `loss.backward()`, PGD-20 on the
whole test set by `torch.autograd.grad` at every evaluation. Data, order and attack start are the same, so its final
accuracies can be compared too.

`simulate` runs cases that no student can tell apart once (without unlearnable samples, the confident and the uncertain
teacher). So the factor is also given with a baseline that leaves these copies out.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from robustill.theory import Settings, grid, simulate
from robustill.theory.batch import draw_batch
from robustill.theory.samples import along_u
from robustill.theory.students import draw_students


def logits(weights, x):
    """`[2, m, d]`, `[n, P, d]` to `[n, 2]`."""
    responses = torch.einsum("kmd,npd->nkmp", weights, x)
    return responses.relu().pow(3).sum((2, 3))


def pgd(weights, x, label, start, eps, steps):
    x_adv = x + start
    for _ in range(steps):
        x_adv.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits(weights, x_adv), label), x_adv)
        x_adv = x_adv.detach() + 2.5 * eps / steps * gradient.sign()
        x_adv = torch.min(torch.max(x_adv, x - eps), x + eps)
    return x_adv.detach()


def accuracy(weights, x, label):
    with torch.no_grad():
        return float((logits(weights, x).argmax(1) == label).float().mean())


def one_run(case, settings):
    """Return the robust test accuracies of one run."""
    batch = draw_batch([case], settings)
    first = draw_students(settings, [case.seed]).weights[0].T
    weights = first.reshape(2, settings.filters, settings.dimension).clone().requires_grad_()
    x, order = batch.x[0], batch.order[0].tolist()
    clean, x_test = (
        along_u(batch.train.noise[0], batch.train.signal[0]),
        along_u(batch.test.noise[0], batch.test.signal[0]),
    )
    label, label_test = ((part.y[0] < 0).long() for part in (batch.train, batch.test))
    target = torch.stack([batch.target[0], 1 - batch.target[0]], 1)
    optimizer, found = torch.optim.SGD([weights], lr=settings.lr), []
    for step in range(settings.steps + 1):
        if step % settings.evaluate_every == 0:
            fixed = weights.detach()
            x_adv = pgd(fixed, x_test, label_test, batch.start[0], settings.eps, settings.attack_steps)
            found.append(accuracy(fixed, x_adv, label_test))
            for x_other, y_other in ((x_test, label_test), (x, label), (clean, label)):
                accuracy(fixed, x_other, y_other)
        if step == settings.steps:
            return found
        i = order[step]
        optimizer.zero_grad()
        F.cross_entropy(logits(weights, x[i : i + 1]), target[i : i + 1]).backward()
        weights.grad[..., -1] = 0
        optimizer.step()
        with torch.no_grad():
            weights[..., -1] = 0
    return found


def timed(case, settings):
    """Return the accuracies of `one_run` and its seconds."""
    began = time.perf_counter()
    return one_run(case, settings), time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=Settings().evaluate_every)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings, cases = Settings(evaluate_every=options.every), grid(seeds=range(options.seeds))
    ratios, alone = [], []
    for _ in range(options.rounds):
        began = time.perf_counter()
        batch = simulate(cases, settings, progress=False)
        ours = time.perf_counter() - began
        alone, seconds = zip(*(timed(case, settings) for case in cases), strict=True)
        ratios.append(sum(seconds) / ours)
        print(f"{len(cases)} runs: batch {ours:.1f} s, one after another {sum(seconds):.1f} s, {ratios[-1]:.1f} times")
        seen = [[each.curves for each in batch[:k]] for k in range(len(batch))]
        kept = [took for each, took, before in zip(batch, seconds, seen, strict=True) if each.curves not in before]
        print(f"without copies: {len(kept)} runs one after another {sum(kept):.1f} s, {sum(kept) / ours:.1f} times")
    apart = [abs(a[-1] - b.curves["robust_test"][-1]) for a, b in zip(alone, batch, strict=True)]
    print(f"median {statistics.median(ratios):.1f} times; last robust accuracies apart by at most {max(apart):.4f}")


if __name__ == "__main__":
    main()
