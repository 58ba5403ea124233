"""Questions about data, teachers and students."""

from robustill.diagnostics.bracket import Calibration, Certification, calibrate, certify
from robustill.diagnostics.doctor import Report, examine
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
    "verify_teacher",
]
