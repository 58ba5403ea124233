"""Whole training steps: robustill against a plain loop in the style of the released papers' code, in turn, in one run.

    python benchmarks/training.py                                  # cnn_small on 28x28 images
    python benchmarks/training.py --model resnet18 --batch 64 --rounds 2 --threads 2 --json training.json

The baseline is written for the purpose and does what the released scripts do: float32, NCHW, an attack in eval mode
that computes `loss.backward()` in every step, the teacher asked wherever its output is needed, train-mode forwards of
the clean and the adversarial batch, SGD. Printed are images per second, the median ratio with its range over rounds,
and the share of the step that the convolutions and matrix products alone would take in robustill's precision.
"""

import argparse
import time
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from rows import row, show, write
from torch import nn

from robustill.attacks import PGD
from robustill.methods import BMTARD, RSLAD, AdaAD, PeerAiD
from robustill.models import build_model
from robustill.training.views import install_views

EPS, STEP, STEPS = 8 / 255, 2 / 255, 10
KEYS = ("rslad", "bmtard", "adaad", "peeraid")


def kl(student, target):
    return F.kl_div(F.log_softmax(student, 1), F.softmax(target, 1), reduction="batchmean")


def released_attack(student, x, loss):
    student.eval()
    x_adv = (x + 0.001 * torch.randn_like(x)).detach()
    for _ in range(STEPS):
        x_adv.requires_grad_()
        with torch.enable_grad():
            value = loss(x_adv)
        value.backward()
        x_adv = x_adv.detach() + STEP * x_adv.grad.sign()
        x_adv = torch.min(torch.max(x_adv, x - EPS), x + EPS).clamp(0, 1)
    student.train()
    return x_adv.detach()


def released_step(key, student, teachers, peer, optimizers):
    """Return a function that takes one step of the method on (x, y)."""
    teacher, clean = teachers

    def rslad(x, y):
        with torch.no_grad():
            target = teacher(x)
        x_adv = released_attack(student, x, lambda p: kl(student(p), target))
        with torch.no_grad():
            target = teacher(x)
        return 5 / 6 * kl(student(x_adv), target) + 1 / 6 * kl(student(x), target)

    def bmtard(x, y):
        x_adv = released_attack(student, x, lambda p: F.cross_entropy(student(p), y))
        adv, nat = student(x_adv), student(x)
        with torch.no_grad():
            robust, natural = teacher(x_adv), clean(x)
        return 0.5 * kl(adv, robust) + 0.5 * kl(nat, natural)

    def adaad(x, y):
        x_adv = released_attack(student, x, lambda p: kl(student(p), teacher(p)))
        with torch.no_grad():
            adv, nat = teacher(x_adv), teacher(x)
        return 1.0 * kl(student(x_adv), adv) + 0.0 * kl(student(x), nat)

    def peeraid(x, y):
        peer.eval()
        with torch.no_grad():
            target = peer(x)
        x_adv = released_attack(student, x, lambda p: kl(student(p), target))
        peer.train()
        guide, adv, again, nat = peer(x_adv), student(x_adv), student(x_adv), student(x)
        own = F.cross_entropy(guide, y) + 0.01 * kl(guide, adv)
        return own + 2.5 * kl(adv, guide.detach()) + 2.5 * kl(again, nat)

    def step(x, y):
        loss = {"rslad": rslad, "bmtard": bmtard, "adaad": adaad, "peeraid": peeraid}[key](x, y)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def our_step(key, student, teachers, peer, optimizers, x, precision, compiled=False):
    attack = PGD(eps=EPS, step_size=STEP, steps=STEPS, init="gaussian")
    method = {
        "rslad": lambda: RSLAD(student, teachers[0], attack=attack),
        "bmtard": lambda: BMTARD(student, *teachers, attack=attack),
        "adaad": lambda: AdaAD(student, teachers[0], attack=attack),
        "peeraid": lambda: PeerAiD(student, peer, attack=attack),
    }[key]().to(memory_format=torch.channels_last)
    method.train()
    shape = tuple(x.shape) if compiled else None
    excuses = install_views(method, x[:8], precision, channels_last=True, compile_for=shape)
    assert not excuses, excuses

    def step(x, y):
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = method(x, y)
        loss.total.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


@contextmanager
def counted(networks):
    """Count the forward passes through each network's layers, in images."""
    seen, handles = {}, []
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                handles.append(module.register_forward_hook(lambda m, i, o: seen.setdefault(m, []).append(i[0].shape)))
    yield seen
    for handle in handles:
        handle.remove()


def floor_seconds(build, x, precision):
    """Return the seconds of the layers alone of one forward and of one forward with its input gradient."""
    network = build().to(memory_format=torch.channels_last).eval().requires_grad_(False)
    with counted([network]) as seen, torch.no_grad():
        network(x)
    calls = [(layer.to(precision), shape) for layer, shapes in seen.items() for shape in shapes]
    forward, both = 0.0, 0.0
    for layer, shape in calls:
        given = torch.randn(shape, dtype=precision)
        given = given.contiguous(memory_format=torch.channels_last) if given.dim() == 4 else given
        with torch.no_grad():
            forward += best(lambda layer=layer, given=given: layer(given))
        given.requires_grad_()
        back = torch.randn_like(layer(given))
        both += best(lambda layer=layer, x=given, back=back: torch.autograd.grad(layer(x), x, back))
    return forward, both


def best(run, rounds=3):
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def floor_of(key, forward, both):
    """Return the seconds of the layers of one step; a weight gradient costs about what an input gradient does."""
    attack = STEPS * both * (2 if key == "adaad" else 1)
    training = {"rslad": 2, "bmtard": 2, "adaad": 2, "peeraid": 3}[key] * (both + (both - forward))
    teachers = {"rslad": 1, "bmtard": 2, "adaad": 2, "peeraid": 1}[key] * forward
    return attack + training + teachers


def networks(options, shape):
    def build():
        return build_model(options.model, num_classes=10, shape=shape)

    torch.manual_seed(0)
    student, peer, teachers = build(), build(), (build().eval(), build().eval())
    for teacher in teachers:
        teacher.requires_grad_(False)
    optimizers = [torch.optim.SGD(n.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4) for n in (student, peer)]
    return build, student, teachers, peer, optimizers


def measure(key, options, shape, x, y):
    build, *parts = networks(options, shape)
    released = released_step(key, *parts)
    _, *parts = networks(options, shape)
    ours = our_step(key, *parts, x, torch.bfloat16, options.compile)
    contestants = {"released": released, "robustill": ours}
    seconds = {name: [] for name in contestants}
    for round_ in range(options.rounds + 1):
        for name, step in contestants.items():
            began = time.perf_counter()
            step(x, y)
            if x.is_cuda:
                torch.cuda.synchronize()
            if round_:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    released, own = seconds["released"], seconds["robustill"]
    floor = None if x.is_cuda else floor_of(key, *floor_seconds(build, x, torch.bfloat16))
    return row(f"{key}/{options.model}", released, own, images=len(y), floor=floor)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn_small")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", choices=KEYS, default=KEYS)
    parser.add_argument("--compile", action="store_true", help="the attack's copies, as training.compile does")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (1, 28, 28) if options.model.startswith("cnn") else (3, 32, 32)
    x = torch.rand(options.batch, *shape, device=options.device)
    y = torch.randint(10, (options.batch,), device=options.device)
    rows = []
    print(
        f"{options.model}, batch {options.batch}, {options.device}, {options.threads} threads, {options.rounds} rounds"
        + ", compiled" * options.compile
    )
    for key in options.methods:
        rows.append(measure(key, options, shape, x, y))
        show(rows[-1])
    write(rows, options.json)


if __name__ == "__main__":
    main()
