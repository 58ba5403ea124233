"""Radii of a recipe that do not go together: they are allowed, but not in silence."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

from robustill.evaluation import is_first
from robustill.recipe import Recipe


def tell_radii(recipe: Recipe, *, trains: bool) -> None:
    """Say on standard error, in the first process, what `radius_notes` finds; of the attack only where `trains`."""
    if is_first():
        for note in (*radius_notes(recipe), *(reach_notes(recipe) if trains else ())):
            sys.stderr.write(f"note: {note}\n")


def radius_notes(recipe: Recipe) -> Iterator[str]:
    """Say where the recipe evaluates at another radius than it trains against, of the same norm.

    >>> from robustill.recipe import load_recipe
    >>> (note,) = radius_notes(load_recipe("digits_rslad_cnn-small", ["attack.eps=0.3"]))
    >>> note.partition(",")[0]
    'trained against eps 0.3'
    """
    trained, asked = recipe.attack.eps, recipe.evaluation.eps
    if trained is None or asked is None or recipe.norm() != (recipe.attack.norm or "Linf"):
        return
    # Papers write 0.031 for 8/255.
    if not math.isclose(trained, asked, rel_tol=0.02):
        yield (
            f"trained against eps {trained:.4g}, but evaluation.eps is {asked:.4g}, and evaluate attacks there; "
            f"--eps or evaluation.eps={trained:.4g} changes it"
        )


def reach_notes(recipe: Recipe) -> Iterator[str]:
    """Say where the steps of the training attack together are shorter than its radius."""
    attack = recipe.training_attack()
    eps, step_size, steps = (getattr(attack, name, None) for name in ("eps", "step_size", "steps"))
    if not (isinstance(eps, int | float) and isinstance(step_size, int | float) and isinstance(steps, int)):
        return
    if 0 < steps * step_size < eps * (1 - 1e-6) and not getattr(attack, "large_step", False):
        yield (
            f"{steps} steps of {step_size:.4g} are {steps * step_size:.4g} together: the training attack does not get "
            f"from an image to the border of its ball, eps {eps:.4g}; raise attack.step_size or attack.steps"
        )
