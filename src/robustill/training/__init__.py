"""The loop, its settings, and what goes around it: checkpoints, averaging, adversarial weight perturbation."""

from robustill.training.awp import AWP
from robustill.training.interrupt import Interrupted
from robustill.training.loop import train
from robustill.training.result import TrainResult
from robustill.training.selection import judge
from robustill.training.settings import Settings

__all__ = ["AWP", "Interrupted", "Settings", "TrainResult", "judge", "train"]
