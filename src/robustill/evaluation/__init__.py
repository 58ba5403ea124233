"""Robust accuracy that can be trusted: verdicts per example, exact intervals, checks, resumable."""

from robustill.evaluation.breakdown import Curve
from robustill.evaluation.checks import Check
from robustill.evaluation.result import Evaluation
from robustill.evaluation.run import evaluate
from robustill.evaluation.shards import is_first, part
from robustill.evaluation.subset import balanced
from robustill.evaluation.view import Precision

__all__ = ["Check", "Curve", "Evaluation", "Precision", "balanced", "evaluate", "is_first", "part"]
