"""Run folders: train a recipe into one, evaluate what one holds, show its images."""

from robustill.runs.evaluate import evaluate_target
from robustill.runs.gallery import write_gallery
from robustill.runs.train import run_recipe

__all__ = ["evaluate_target", "run_recipe", "write_gallery"]
