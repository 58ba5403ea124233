"""Evaluation attacks by the names that the field's tables use."""

from __future__ import annotations

import re

from robustill.attacks.apgd import APGD
from robustill.attacks.attacked import Attack
from robustill.attacks.autoattack import AutoAttack, Version
from robustill.attacks.cw import CW
from robustill.attacks.fgsm import FGSM
from robustill.attacks.pgd import PGD
from robustill.attacks.square import Square
from robustill.attacks.threat import Norm
from robustill.errors import InputError, nearest

_VERSIONS: dict[str, Version] = {"autoattack": "standard", "autoattack-fast": "fast", "autoattack-rand": "rand"}
_KNOWN = ("fgsm", "pgd10", "pgd20", "pgd50", "pgd20_trades", "cw", "apgd-ce", "apgd-dlr", "square", *_VERSIONS)


def named_attack(name: str, *, eps: float, norm: Norm = "Linf") -> Attack:
    """Return the attack that a name stands for, scaled to `eps`.

    `fgsm`; `pgdN` (N steps of eps/4 from a uniform start: `PGD_sat` for N = 20); `pgdNxR` (R restarts);
    `pgdN_trades` (steps of 0.003 at eps 8/255, scaled); `cw` (30 margin steps of eps/4); `apgd-ce`, `apgd-dlr` (100
    steps); `square` (5,000 queries, as in AutoAttack); `autoattack` (the standard version), `autoattack-fast` (its
    first two stages, not the standard), `autoattack-rand`.

    >>> named_attack("pgd20", eps=8 / 255).steps
    20

    Raises:
        InputError: An unknown name; it names the nearest one. Or an attack itself.
    """
    if not isinstance(name, str):
        kind = (name if isinstance(name, type) else type(name)).__name__
        raise InputError(
            f"attacks are named by text, such as 'pgd20', found a {kind}",
            f"{nearest(kind.lower(), _KNOWN)}; of an attack of your own, robustill.attacks.stays_correct(model, x, y, "
            "attack) says batch by batch where the prediction stays right",
        )
    if name == "fgsm":
        return FGSM(eps=eps, norm=norm)
    # With eps = 0 the ball is a point; any positive step is projected back onto it.
    step = eps / 4 if eps > 0 else 1.0
    if name == "cw":
        return CW(eps=eps, step_size=step, norm=norm)
    if name in ("apgd-ce", "apgd-dlr"):
        return APGD(eps=eps, norm=norm, loss="ce" if name == "apgd-ce" else "dlr")
    if name == "square":
        return Square(eps=eps, norm=norm, rescale=False)
    if name in _VERSIONS:
        return AutoAttack(eps=eps, norm=norm, version=_VERSIONS[name])
    match = re.fullmatch(r"pgd(\d{1,4})(?:x(\d{1,3}))?(_trades)?", name)
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise InputError(f"unknown attack {name!r}", nearest(name, _KNOWN))
    if match[3]:
        step *= 0.003 / (2 / 255)
    return PGD(eps=eps, step_size=step, steps=int(match[1]), norm=norm, restarts=int(match[2] or 1))
