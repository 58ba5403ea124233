"""Whether an evaluation's numbers can be believed: the checks, made on a few of its images."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robustill.attacks import APGD, AutoAttack, named_attack
from robustill.evaluation.campaign import TRANSFER
from robustill.evaluation.checks import (
    Check,
    check_model,
    check_verdicts,
    square_probe,
    steps_sweep,
    weak_evidence,
)
from robustill.evaluation.result import Evaluation
from robustill.evaluation.runner import Runner
from robustill.evaluation.store import example_generators
from robustill.progress import bar

_LOOKED_AT = 256


def trust(result: Evaluation, run: Runner, classes: int) -> Evaluation:
    """Return `result` with its checks: the model, two small attacks, the verdicts, and what follows from all of them.

    The small attacks take a thirty-second of the images, but 16 at least and 64 at most; Square is tried where none of
    the attacks did.
    """
    white_box = [name for name in result.verdicts if name != "clean" and not name.startswith(TRANSFER)]
    transfer = [name for name in result.verdicts if name.startswith(TRANSFER)]
    checks = check_model(
        run.model,
        *run.examples(_some(torch.ones_like(result.robust), min(_LOOKED_AT, run.batch_size))),
        classes=classes,
        attacks_dlr=any(_uses_dlr(name) for name in white_box),
    )
    if white_box:
        checks += _probes(result, run, square=not any(name in ("square", "autoattack") for name in white_box))
        checks += check_verdicts(result.verdicts, result.stages, transfer)
        checks.append(weak_evidence(checks, white_box))
    return replace(result, checks=tuple(checks))


def _probes(result: Evaluation, run: Runner, *, square: bool) -> list[Check]:
    count = min(64, max(16, len(result.robust) // 32))
    found = []
    with bar("checks", 1 + square, show=run.progress) as shown:
        at = _some(result.verdicts["clean"], count)
        draws = example_generators(run.seed, "steps-sweep", run.index[at].tolist())
        found.append(steps_sweep(run.model, *run.examples(at), eps=result.eps, norm=result.norm, generators=draws))
        shown.advance()
        if square:
            at = _some(result.robust, count)
            draws = example_generators(run.seed, "square-probe", run.index[at].tolist())
            x, y = run.examples(at)
            all_of_them = torch.ones_like(y, dtype=torch.bool)
            found.append(square_probe(run.model, x, y, all_of_them, eps=result.eps, norm=result.norm, generators=draws))
            shown.advance()
    return found


def _some(among: Tensor, count: int) -> Tensor:
    """Return up to `count` positions where `among` holds, evenly spread."""
    at = among.nonzero().flatten()
    if len(at) <= count:
        return at
    return at[torch.linspace(0, len(at) - 1, count).round().long()]


def _uses_dlr(name: str) -> bool:
    attack = named_attack(name, eps=0.0)
    return isinstance(attack, AutoAttack) or (isinstance(attack, APGD) and attack.loss.startswith("dlr"))
