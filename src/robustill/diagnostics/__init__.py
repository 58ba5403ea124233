"""Questions about data, teachers and students."""

from robustill.diagnostics.bracket import Calibration, Certification, calibrate, certify
from robustill.diagnostics.doctor import Report, examine
from robustill.diagnostics.landscapes import landscape
from robustill.diagnostics.learnability import (
    Learnability,
    load_learnability,
    save_learnability,
    train_references,
    unlearnable,
)
from robustill.diagnostics.overfitting import record_overfitting, robust_overfitting
from robustill.diagnostics.ranking import Gates, Ranking, RankingValidation, rank_teachers, validate_ranking
from robustill.diagnostics.teacher import TeacherCheck, verify_teacher
from robustill.training.chance import chance_warning

__all__ = [
    "Calibration",
    "Certification",
    "Gates",
    "Learnability",
    "Ranking",
    "RankingValidation",
    "Report",
    "TeacherCheck",
    "calibrate",
    "certify",
    "chance_warning",
    "examine",
    "landscape",
    "load_learnability",
    "rank_teachers",
    "record_overfitting",
    "robust_overfitting",
    "save_learnability",
    "train_references",
    "unlearnable",
    "validate_ranking",
    "verify_teacher",
]
