"""Which training images a student's architecture cannot learn robustly (Lee and Chung, ICML 2026, arXiv 2605.21999)."""

from robustill.diagnostics.learnability.find import unlearnable
from robustill.diagnostics.learnability.references import train_references
from robustill.diagnostics.learnability.scores import ESTIMATORS, Estimator, Learnability
from robustill.diagnostics.learnability.store import load_learnability, save_learnability

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "Learnability",
    "load_learnability",
    "save_learnability",
    "train_references",
    "unlearnable",
]
