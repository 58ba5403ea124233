"""Figures and pages from the JSON of run folders; knows no tensors."""

from robustill.report.bracket import draw_bracket
from robustill.report.certified import draw_certified
from robustill.report.curve import draw_curve
from robustill.report.dynamics import draw_accuracies, draw_responses
from robustill.report.entropy import draw_entropy
from robustill.report.landscape import draw_landscape, draw_plane
from robustill.report.learnability import draw_examples, draw_learnability
from robustill.report.overfitting import draw_overfitting
from robustill.report.page import Page, build_page, write_page
from robustill.report.teachers import draw_teachers

__all__ = [
    "Page",
    "build_page",
    "draw_accuracies",
    "draw_bracket",
    "draw_certified",
    "draw_curve",
    "draw_entropy",
    "draw_examples",
    "draw_landscape",
    "draw_learnability",
    "draw_overfitting",
    "draw_plane",
    "draw_responses",
    "draw_teachers",
    "write_page",
]
