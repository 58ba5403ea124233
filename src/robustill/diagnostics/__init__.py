"""Questions about data, teachers and students."""

from robustill.diagnostics.bracket import Calibration, Certification, calibrate, certify
from robustill.diagnostics.doctor import Report, examine
from robustill.diagnostics.landscapes import landscape
from robustill.diagnostics.overfitting import record_overfitting, robust_overfitting
from robustill.diagnostics.teacher import TeacherCheck, chance_warning, verify_teacher

__all__ = [
    "Calibration",
    "Certification",
    "Report",
    "TeacherCheck",
    "calibrate",
    "certify",
    "chance_warning",
    "examine",
    "landscape",
    "record_overfitting",
    "robust_overfitting",
    "verify_teacher",
]
