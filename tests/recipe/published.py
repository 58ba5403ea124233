"""The published settings, written down apart from the recipes: what a shipped recipe must come to."""

import math
from dataclasses import dataclass, field
from typing import Any

FREE = "by validation"
"""An argument whose published value is not known."""


def steps(*drops: int, epochs: int, lr: float = 0.1) -> list[float]:
    """Return the rate of each epoch; each drop is the first 0-based epoch at a tenth of the rate."""
    return [lr * 0.1 ** sum(epoch >= drop for drop in drops) for epoch in range(epochs)]


def ciard(lr: float, start: int) -> list[float]:
    """Return CIARD's cosine with its extra factor, at the start of each epoch.

    The release counts epochs from 1, so its rate is the one that is reached here at the end of an epoch.
    """
    shares = [max(epoch - start, 0) / (300 - start) for epoch in range(300)]
    return [lr * (0.5 + 0.5 * math.cos(math.pi * share)) * math.exp(-0.01 * share**2) for share in shares]


def cycle(lr: float, epochs: int, climb: float) -> list[float]:
    """Return a rate that climbs from 0 to `lr` in a share `climb` of the epochs and falls to 0."""
    top = climb * epochs
    return [lr * min(epoch / top, (epochs - epoch) / (epochs - top)) for epoch in range(epochs)]


@dataclass(frozen=True)
class Published:
    """One published setting.

    Args:
        method: Arguments by name; those of a wrapped method below `base`. Weights of a KL are for the sum over classes.
        rates: Learning rate of each epoch.
        decay: Weight decay.
        scale: Factor of the loss, which is that of its KL for a KL that is averaged over classes.
        teachers: The networks, up to what is a path of the user's.
    """

    method: dict[str, Any]
    rates: list[float]
    decay: float = 2e-4
    scale: float = 1.0
    teachers: dict[str, str] = field(default_factory=dict)
    nesterov: bool = False
    batch: int = 128
    swa: int | None = None
    eps: float = 8 / 255
    step: float = 2 / 255


RSLAD300 = steps(215, 260, 285, epochs=300)
DROPS200 = steps(100, 150, epochs=200)
PEER300 = steps(214, 259, 284, epochs=300)
# Epochs 76 and 91 counted from 1.
LBGAT100 = steps(75, 90, epochs=100)

TRADES = {"teacher": "model_cifar_wrn.pt"}
GOWAL = {"teacher": "cifar100_linf_wrn70-16_without.pt"}
LTD10 = {"teacher": "cifar10/Linf/Chen2021LTD_WRN34_20"}
LTD10_SMALL = {"teacher": "cifar10/Linf/Chen2021LTD_WRN34_10"}
LTD100 = {"teacher": "cifar100/Linf/Chen2021LTD_WRN34_10"}
AT, CLEAN = "cifar10_pgd-at_resnet18", "cifar10_standard_resnet18"
SAAD = {"beta": 0, "scale": 5, "order": 1, "lam": 1}
TRUST = {"alpha": 1, "temperature": 30, "beta": 0.1, "begin": 60}
CLASSES = {"beta": 2, "low": 5 / 6, "high": 5 / 2}


def peer(imitation: float, soft: float, agreement: float) -> dict[str, Any]:
    weights = {"gamma1": 1, "gamma2": imitation, "lam1": 0, "lam2": soft, "lam3": agreement}
    return {**weights, "temperature": 5, "peer_temperature": 1}


PUBLISHED = {
    "cifar10_rslad_resnet18": Published({"alpha": 5 / 6}, RSLAD300, scale=0.1, teachers=TRADES),
    "cifar100_rslad_resnet18": Published({"alpha": 5 / 6}, RSLAD300, scale=0.1, teachers=GOWAL),
    "cifar10_ard_resnet18": Published({"alpha": 1, "temperature": 30}, DROPS200, scale=1 / 10, teachers=TRADES),
    # The teacher is our choice: none is published.
    "cifar100_ard_resnet18": Published(
        {"alpha": 1, "temperature": 30}, DROPS200, scale=1 / 100, teachers=GOWAL, batch=256
    ),
    "cifar10_adaad_resnet18": Published({"alpha": 1}, DROPS200, 5e-4, 1 / 10, LTD10),
    "cifar100_adaad_resnet18": Published({"alpha": 1}, DROPS200, 5e-4, 1, LTD100),
    "cifar10_hat_resnet18": Published(
        {"beta": 2.5, "gamma": 0.5, "h": 2},
        cycle(0.21, 50, 0.25),
        5e-4,
        teachers={"teacher_nat": CLEAN},
        nesterov=True,
    ),
    "cifar10_lbgat_resnet18": Published({"beta": 0}, LBGAT100, teachers={"guide": "resnet18"}, eps=0.031, step=0.007),
    "cifar100_lbgat_resnet18": Published({"beta": 6}, LBGAT100, teachers={"guide": "resnet18"}, eps=0.031, step=0.007),
    "cifar10_iad_resnet18": Published(
        {"alpha": 1, "temperature": 1, "beta": 0.1, "begin": 60, "weigh_teacher": False},
        DROPS200,
        teachers={"teacher": AT},
    ),
    "cifar10_iad2_resnet18": Published(
        {"alpha1": 0.5, "alpha2": 0.25, "temperature": 1, "beta": 0.1, "begin": 40},
        DROPS200,
        teachers={"teacher": AT, "teacher_nat": CLEAN},
    ),
    "cifar10_akd_resnet18": Published(
        {"lam": FREE, "temperature": 1, "clean_target": False}, DROPS200, 5e-4, teachers={"teacher": AT}
    ),
    "cifar10_akd2_resnet18": Published(
        {"lam1": 0.5, "lam2": 0.25, "temperature": 1},
        DROPS200,
        teachers={"teacher_adv": AT, "teacher_nat": CLEAN},
        swa=105,
    ),
    "cifar10_absld_resnet18": Published(
        {"alpha": 5 / 6, "rate": 0.1, "low": 0.5, "high": 5}, RSLAD300, scale=1 / 10, teachers=TRADES
    ),
    "cifar10_adaiad_resnet18": Published(TRUST, DROPS200, 5e-4, teachers=LTD10),
    "cifar100_adaiad_resnet18": Published(TRUST, DROPS200, 5e-4, teachers=LTD100),
    "cifar10_dgad_resnet18": Published({"beta": 1}, DROPS200, 5e-4, teachers=LTD10),
    "cifar100_dgad_resnet18": Published({"beta": 1}, DROPS200, 5e-4, teachers=LTD100),
    "cifar10_saad_resnet18": Published(
        {"igdm": 1, **SAAD},
        DROPS200,
        teachers={"teacher": "cifar10/Linf/Gowal2021Improving_28_10_ddpm_100m"},
        swa=94,
    ),
    "cifar100_saad_resnet18": Published(
        {"igdm": 10, **SAAD}, DROPS200, teachers={"teacher": "cifar100/Linf/Wang2023Better_WRN-28-10"}, swa=94
    ),
    "cifar10_igdm_resnet18": Published(
        {"alpha": 1, "b": 1, "g": 1, "base": {"name": "adaad", "alpha": 1}}, DROPS200, teachers=LTD10_SMALL
    ),
    "cifar100_igdm_resnet18": Published(
        {"alpha": 10, "b": 1, "g": 1, "base": {"name": "adaad", "alpha": 1}}, DROPS200, teachers=LTD100
    ),
    "cifar10_fair-ard_resnet18": Published(
        {**CLASSES, "base": {"name": "ard", "alpha": 1, "temperature": 30}},
        DROPS200,
        scale=1 / 10,
        teachers=TRADES,
        nesterov=True,
    ),
    "cifar10_fair-rslad_resnet18": Published(
        {**CLASSES, "base": {"name": "rslad", "alpha": 5 / 6}}, RSLAD300, scale=1 / 10, teachers=TRADES, nesterov=True
    ),
    "cifar10_vfd-adv_resnet18": Published(
        {"alpha": FREE, "cosine": False, "base": {"name": "pgd_at"}}, DROPS200, 5e-4, teachers={"teacher_nat": CLEAN}
    ),
    # Released: 0.1, 1, 1 and 1, 1, 1, for a KL that is averaged over the classes.
    "cifar10_peeraid_resnet18": Published(
        peer(0.1 / 10, 1 / 10, 1 / 10), PEER300, teachers={"peer": "resnet18"}, swa=214
    ),
    "cifar100_peeraid_resnet18": Published(
        peer(1 / 100, 1 / 100, 1 / 100), PEER300, teachers={"peer": "resnet18"}, swa=214
    ),
    "cifar10_ciard_resnet18": Published(
        {"begin": 50, "balance": True, "push_temperature": 5, "weight_rate": 0.025, "temperature_rate": 0.001},
        ciard(0.1, 150),
        scale=1 / 10,
        teachers={"teacher_adv": "model_cifar_wrn.pt", "teacher_nat": CLEAN},
    ),
}
