"""Training methods, one file each; `METHODS` names them for recipes and the command line."""

from robustill.methods.absld import ABSLD
from robustill.methods.adaad import AdaAD
from robustill.methods.adaiad import AdaIAD
from robustill.methods.akd import AKD
from robustill.methods.akd2 import AKD2
from robustill.methods.ard import ARD
from robustill.methods.base import AdversarialMethod, Loss, Method
from robustill.methods.bmtard import BMTARD
from robustill.methods.card import Card, card
from robustill.methods.ciard import CIARD
from robustill.methods.crown_ibp import CrownIBP
from robustill.methods.dgad import DGAD
from robustill.methods.fair_ard import FairARD
from robustill.methods.faithful import FaithfulDistillation
from robustill.methods.hat import HAT
from robustill.methods.iad import IAD
from robustill.methods.ibp import IBP
from robustill.methods.igdm import IGDM
from robustill.methods.kd import KD
from robustill.methods.lbgat import LBGAT
from robustill.methods.mart import MART
from robustill.methods.mtard import MTARD
from robustill.methods.peeraid import PeerAiD
from robustill.methods.pgd_at import PGDAT
from robustill.methods.rslad import RSLAD
from robustill.methods.saad import SAAD
from robustill.methods.soften import Soften
from robustill.methods.standard import Standard
from robustill.methods.trades import TRADES
from robustill.methods.vfd_adv import VFDAdv
from robustill.methods.wrapper import Wrapper

METHODS: dict[str, type[Method]] = {
    "standard": Standard,
    "kd": KD,
    "pgd_at": PGDAT,
    "trades": TRADES,
    "mart": MART,
    "hat": HAT,
    "lbgat": LBGAT,
    "ard": ARD,
    "iad": IAD,
    "akd": AKD,
    "akd2": AKD2,
    "rslad": RSLAD,
    "absld": ABSLD,
    "adaad": AdaAD,
    "adaiad": AdaIAD,
    "dgad": DGAD,
    "saad": SAAD,
    "mtard": MTARD,
    "bmtard": BMTARD,
    "ciard": CIARD,
    "peeraid": PeerAiD,
    "igdm": IGDM,
    "fair_ard": FairARD,
    "vfd_adv": VFDAdv,
    "soften": Soften,
    "faithful": FaithfulDistillation,
    "ibp": IBP,
    "crown_ibp": CrownIBP,
}
BUILT_IN = frozenset(METHODS)
"""The names that come with robustill; every other one is a person's own."""

__all__ = [
    "ABSLD",
    "AKD",
    "AKD2",
    "ARD",
    "BMTARD",
    "CIARD",
    "DGAD",
    "HAT",
    "IAD",
    "IBP",
    "IGDM",
    "KD",
    "LBGAT",
    "MART",
    "METHODS",
    "MTARD",
    "PGDAT",
    "RSLAD",
    "SAAD",
    "TRADES",
    "AdaAD",
    "AdaIAD",
    "AdversarialMethod",
    "Card",
    "CrownIBP",
    "FairARD",
    "FaithfulDistillation",
    "Loss",
    "Method",
    "PeerAiD",
    "Soften",
    "Standard",
    "VFDAdv",
    "Wrapper",
    "card",
]
