"""Attacked from below, certified from above: relative calibration of a pair, certified accuracy of one network."""

from robustill.diagnostics.bracket.calibrate import calibrate
from robustill.diagnostics.bracket.calibration import Behaviour, Bracket, Calibration, SmoothedGap
from robustill.diagnostics.bracket.certification import Certification
from robustill.diagnostics.bracket.certify import certify
from robustill.diagnostics.bracket.sandwich import BracketError

__all__ = [
    "Behaviour",
    "Bracket",
    "BracketError",
    "Calibration",
    "Certification",
    "SmoothedGap",
    "calibrate",
    "certify",
]
