"""Robust accuracy that can be trusted: verdicts per example, exact intervals, resumable."""

from robustill.evaluation.result import Evaluation
from robustill.evaluation.run import evaluate

__all__ = ["Evaluation", "evaluate"]
