"""Figures and pages from the JSON of run folders; knows no tensors."""

from robustill.report.curve import draw_curve

__all__ = ["draw_curve"]
