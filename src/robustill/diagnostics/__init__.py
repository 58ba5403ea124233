"""Questions about data, teachers and students."""

from robustill.diagnostics.doctor import Report, examine
from robustill.diagnostics.teacher import TeacherCheck, verify_teacher

__all__ = ["Report", "TeacherCheck", "examine", "verify_teacher"]
