"""The two-layer patch model of "Toward Understanding Adversarial Distillation: Why Robust Teachers Fail".

Lee and Chung, ICML 2026, https://arxiv.org/abs/2605.21999. Their robust overfitting needs a mismatch of threat models;
`simulate` says how.
"""

from robustill.theory.batch import check_cases, grid, simulate
from robustill.theory.outcome import Case, Outcome
from robustill.theory.record import CAVEAT, rank_correlations, record
from robustill.theory.settings import Settings
from robustill.theory.teachers import MARGINS, TEACHERS, UNINFORMATIVE, Teacher, find_teacher, sweep

__all__ = [
    "CAVEAT",
    "MARGINS",
    "TEACHERS",
    "UNINFORMATIVE",
    "Case",
    "Outcome",
    "Settings",
    "Teacher",
    "check_cases",
    "find_teacher",
    "grid",
    "rank_correlations",
    "record",
    "simulate",
    "sweep",
]
