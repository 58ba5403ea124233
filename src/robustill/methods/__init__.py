"""Training methods, one file each; `METHODS` names them for recipes and the command line."""

from robustill.methods.adaad import AdaAD
from robustill.methods.ard import ARD
from robustill.methods.base import AdversarialMethod, Loss, Method
from robustill.methods.bmtard import BMTARD
from robustill.methods.card import Card, card
from robustill.methods.kd import KD
from robustill.methods.mart import MART
from robustill.methods.mtard import MTARD
from robustill.methods.pgd_at import PGDAT
from robustill.methods.rslad import RSLAD
from robustill.methods.standard import Standard
from robustill.methods.trades import TRADES

METHODS: dict[str, type[Method]] = {
    "standard": Standard,
    "kd": KD,
    "pgd_at": PGDAT,
    "trades": TRADES,
    "mart": MART,
    "ard": ARD,
    "rslad": RSLAD,
    "adaad": AdaAD,
    "mtard": MTARD,
    "bmtard": BMTARD,
}

__all__ = [
    "ARD",
    "BMTARD",
    "KD",
    "MART",
    "METHODS",
    "MTARD",
    "PGDAT",
    "RSLAD",
    "TRADES",
    "AdaAD",
    "AdversarialMethod",
    "Card",
    "Loss",
    "Method",
    "Standard",
    "card",
]
