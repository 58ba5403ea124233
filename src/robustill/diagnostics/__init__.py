"""Questions about data, teachers and students."""

from robustill.diagnostics.doctor import Report, examine
from robustill.diagnostics.teacher import TeacherCheck, chance_warning, verify_teacher

__all__ = ["Report", "TeacherCheck", "chance_warning", "examine", "verify_teacher"]
