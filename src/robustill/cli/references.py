"""What `unlearnable` and `rank-teachers` share: from a student's recipe to its references and the set they find."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.errors import InputError, RecipeError, RobustillError

if TYPE_CHECKING:
    from torch import nn

    from robustill.attacks.threat import Norm
    from robustill.data import Data
    from robustill.diagnostics.learnability import Learnability
    from robustill.recipe import Recipe

_METHOD = "pgd_at"


@dataclass(frozen=True)
class Asked:
    """What the command line says of the set.

    Args:
        student: A recipe, a run folder, or the name of a shipped recipe.
        changes: As given to `--set`.
        references: How many to train.
        reference: Runs or model files to take instead.
        eps: Radius; the recipe's when None.
        attack: Name of the attack.
        images: Only so many training images.
        device: Where to compute.
        out: Folder of everything.
        root: Folder of the data set; the recipe's when None.
    """

    student: str
    changes: Sequence[str]
    references: int
    reference: Sequence[str]
    eps: float | None
    attack: str
    images: int | None
    device: str
    out: Path
    root: str | None


def opened(asked: Asked) -> tuple[Recipe, Data]:
    """Return the student's recipe and its data, after checking what can be checked before anything is computed.

    Raises:
        RobustillError: Something that was asked for is impossible or missing.
    """
    from robustill.diagnostics.learnability.find import check_attack
    from robustill.recipe import load_recipe
    from robustill.writing import make_folder

    recipe = load_recipe(asked.student, asked.changes)
    check_attack(asked.attack, _radius(recipe, asked.eps), _norm(recipe))
    if not asked.reference and asked.references < 1:
        raise InputError(f"--references {asked.references}: at least one reference is needed", "1 is the cheap proxy")
    if asked.images is not None and asked.images < 1:
        raise InputError(f"--images {asked.images}: at least one image is needed")
    data = recipe.data_set(root=asked.root)
    make_folder(asked.out)
    return recipe, data


def find(
    asked: Asked, recipe: Recipe, data: Data, teachers: Mapping[str, nn.Module] | None = None
) -> tuple[Learnability, dict[str, nn.Module]]:
    """Train or load the references and find the set; what an earlier call found in the same folder is taken over.

    Args:
        asked: What is wanted.
        recipe: The student's.
        data: Its data.
        teachers: Asked for the class they see where a label may be wrong.

    Returns:
        The set, and the references by name.
    """
    from robustill.diagnostics.learnability import unlearnable
    from robustill.diagnostics.learnability.find import PEAK
    from robustill.evaluation import is_first
    from robustill.training.device import cpu_threads

    eps = _radius(recipe, asked.eps)
    with cpu_threads(recipe.training.threads):
        if asked.reference:
            references, rule = load_networks(asked.reference, data, "reference", asked.device), "as given"
        else:
            references, rule = _trained(recipe, data, eps, asked), PEAK
        found = unlearnable(
            references, data, asked.attack, eps=eps, norm=_norm(recipe), images=asked.images, teachers=teachers,
            checkpoint_rule=rule, out=asked.out / "verdicts",
        )  # fmt: skip
    for name in found.untrained() if is_first() else ():
        share = 100 * found.about["reference_clean_accuracy"][name]
        sys.stderr.write(
            f"warning: reference {name} is right on {share:.0f}% of the training images without an attack, near "
            "chance: it has not learned, so the sets mean nothing. Train for more epochs, or with a smaller --eps\n"
        )
    return found, references


def load_networks(sources: Sequence[str], data: Data, what: str, device: str) -> dict[str, nn.Module]:
    """Return models by the source that names each.

    Raises:
        InputError: One source is named twice.
        RobustillError: One cannot be loaded; says which.
    """
    from robustill.models import load_model
    from robustill.training.device import find_device

    networks: dict[str, nn.Module] = {}
    for source in sources:
        if source in networks:
            raise InputError(f"{what} {source} is named twice", "name each once")
        try:
            model = load_model(source, num_classes=data.num_classes, shape=data.shape)
        except RobustillError as error:
            raise type(error)(f"{what} {source}: {error.message}", error.hint) from error
        networks[source] = model.to(find_device(device))
    return networks


def _trained(recipe: Recipe, data: Data, eps: float, asked: Asked) -> dict[str, nn.Module]:
    from robustill.diagnostics.learnability import train_references

    own = reference_recipe(recipe, eps, asked.device)
    return train_references(
        builder(own, data), data, own.training, seeds=range(asked.references), group=_METHOD, out=asked.out
    )


def reference_recipe(recipe: Recipe, eps: float, device: str) -> Recipe:
    """Return the recipe of a student's references: its data, architecture and training, by adversarial training.

    What belongs to the distillation is left out: teachers, the scale of its loss, networks trained beside the student.
    """
    from robustill.recipe import parse_recipe

    tree: dict[str, Any] = recipe.model_dump(exclude_none=True)
    steps = recipe.attack.steps or 10
    tree["method"], tree["teachers"] = {"name": _METHOD}, {}
    tree["attack"] = {"eps": eps, "step_size": eps / 4 or 1.0, "steps": steps, "norm": _norm(recipe)}
    tree["student"].pop("weights", None)
    tree["training"] |= {"loss_scale": 1.0, "guides": {}, "device": device}
    tree["training"].pop("clip_norm", None)
    # Only a measurement.
    tree["training"].pop("overfitting", None)
    tree["training"]["selection"] = {"metric": "robust", "every": recipe.training.selection.every}
    return parse_recipe(tree, where="references")


def builder(recipe: Recipe, data: Data) -> Any:
    """Return the function from a seed to a method with a fresh student, without reading the data again."""
    import torch

    from robustill.recipe.method import plan
    from robustill.recipe.networks import student_network

    method = plan(recipe.method, recipe.attack)

    def build(seed: int) -> Any:
        torch.manual_seed(seed)
        return method.build(student_network(recipe.student, data), {})

    return build


def _norm(recipe: Recipe) -> Norm:
    return recipe.attack.norm or recipe.norm()


def _radius(recipe: Recipe, eps: float | None) -> float:
    if eps is not None:
        return eps
    try:
        return recipe.eps(_norm(recipe))
    except RecipeError as error:
        raise InputError("the student's recipe has no radius to attack at", "give --eps, e.g. --eps 8/255") from error
