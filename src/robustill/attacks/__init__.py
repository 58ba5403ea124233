"""Adversaries: each maximises an objective `x' -> [B]` over a ball around x, inside [0, 1].

>>> import torch
>>> weight = torch.tensor([1.0, -1.0])
>>> PGD(eps=0.25, step_size=0.25, steps=1, init="none")(lambda x_adv: x_adv @ weight, torch.full((1, 2), 0.5))
tensor([[0.7500, 0.2500]])
"""

from robustill.attacks.apgd import APGD
from robustill.attacks.attacked import Attack, adversarial_points, stays_correct
from robustill.attacks.autoattack import AutoAttack
from robustill.attacks.cw import CW
from robustill.attacks.fab import FAB
from robustill.attacks.fgsm import FGSM
from robustill.attacks.modes import eval_mode
from robustill.attacks.named import named_attack
from robustill.attacks.objective import Objective, gradient
from robustill.attacks.pgd import PGD
from robustill.attacks.running import Running, run_search, run_searches
from robustill.attacks.search import Search
from robustill.attacks.square import Square
from robustill.attacks.verdicts import correct

__all__ = [
    "APGD",
    "CW",
    "FAB",
    "FGSM",
    "PGD",
    "Attack",
    "AutoAttack",
    "Objective",
    "Running",
    "Search",
    "Square",
    "adversarial_points",
    "correct",
    "eval_mode",
    "gradient",
    "named_attack",
    "run_search",
    "run_searches",
    "stays_correct",
]
