"""Certificates: what a network does, at most and at least, for every image near another."""

from robustill.certification.bounder import Bounder
from robustill.certification.bounds import (
    bounds,
    confidence_bounds,
    confidence_difference_bounds,
    difference_bounds,
)
from robustill.certification.interval import Interval
from robustill.certification.pair_bounder import PairBounder
from robustill.certification.smoothed_pair import SmoothedPair, smooth_pair
from robustill.certification.smoothing import ABSTAIN, Smoothed, smooth

__all__ = [
    "ABSTAIN",
    "Bounder",
    "Interval",
    "PairBounder",
    "Smoothed",
    "SmoothedPair",
    "bounds",
    "confidence_bounds",
    "confidence_difference_bounds",
    "difference_bounds",
    "smooth",
    "smooth_pair",
]
