"""Networks that should know the problem before a run, and are right as often as guessing would be."""

from __future__ import annotations

import sys

import torch
from torch import nn

from robustill.attacks import correct
from robustill.data import Data
from robustill.methods.base import Method
from robustill.terminal import printable
from robustill.training.checkpoint import random_state_kept
from robustill.training.networks import pretrained

# Of chance, and in accuracy: with two classes half more than chance would be 75%.
_ABOVE_CHANCE = (0.5, 0.1)


def tell_chance(method: Method, data: Data, *, first: bool) -> None:
    """Warn of every teacher of `method` that guesses, by the `first` process; all ask, as teachers may be in parts."""
    # A teacher that draws must not move the run's generators: with and without this question it is the same run.
    with random_state_kept():
        found = [chance_warning(name, network, data) for name, network in pretrained(method).items()]
    for warning in found:
        if warning is not None and first:
            sys.stderr.write(f"warning: {printable(warning)}\n")


def chance_warning(name: str, teacher: nn.Module, data: Data, images: int = 256) -> str | None:
    """Return a sentence if `teacher` is right on hardly more training images than guessing would be, else None.

    Args:
        name: What the sentence calls the teacher.
        teacher: Maps images in [0, 1] to logits.
        data: Its first `images` training images are read.
        images: Number of images.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> chance_warning("teacher", nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), data) is None
    False
    """
    device = next((each.device for each in teacher.parameters()), torch.device("cpu"))
    x, y = next(iter(data.train.batches(images, device=device)))
    accuracy = float(correct(teacher, x, y).float().mean())
    if not near_chance(accuracy, data.num_classes):
        return None
    return (
        f"{name} is right on {100 * accuracy:.0f}% of {len(y)} training images, "
        f"{'below' if accuracy < 0.5 / data.num_classes else 'near'} chance: wrong data, label order or normalisation? "
        "robustill doctor --teacher, or verify_teacher, tells more"
    )


def near_chance(accuracy: float, classes: int) -> bool:
    """Return whether an accuracy in [0, 1] is hardly above that of guessing among `classes`."""
    return accuracy < 1 / classes + min(_ABOVE_CHANCE[0] / classes, _ABOVE_CHANCE[1])
