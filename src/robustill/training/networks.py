"""What a method's networks must agree on before training starts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from robustill.attacks import eval_mode
from robustill.data import Data
from robustill.data.dataset import check_data
from robustill.errors import ModelError
from robustill.inputs import check_network_kind
from robustill.methods.base import Method
from robustill.methods.card import networks as network_names
from robustill.methods.wrapper import Wrapper
from robustill.models import Frozen, check_logits, model_digest
from robustill.training.awp import AWP


def teachers(method: Method) -> dict[str, Frozen]:
    """Return the frozen networks of a method by their attribute path."""
    return {name: module for name, module in method.named_modules() if isinstance(module, Frozen)}


def guides(method: Method) -> dict[str, nn.Module]:
    """Return the classifiers that are trained beside the student; a projection between features is none."""
    wanted = {name for each in _methods(method) for name in network_names(type(each))} - {"student"}
    return {name: network for name, network in method.trained().items() if name in wanted}


def pretrained(method: Method) -> dict[str, nn.Module]:
    """Return the networks that should know the problem before the run: teachers, and guides that are not fresh."""
    return going_on(method) | {name: teacher.network for name, teacher in teachers(method).items()}


def going_on(method: Method) -> dict[str, nn.Module]:
    """Return the classifiers beside the student that were trained before and are trained further."""
    fresh = {name for each in _methods(method) for name in each.fresh}
    return {name: network for name, network in guides(method).items() if name not in fresh}


def method_name(method: Method) -> str:
    """Return the class names of a method and of what it wraps, such as `IGDM(RSLAD)`; AWP is a setting, not a part."""
    *outer, last = [type(each).__name__ for each in _methods(method) if not isinstance(each, AWP)]
    return "(".join([*outer, last]) + ")" * len(outer)


def _methods(method: Method) -> list[Method]:
    """Return a method and, from the outside in, what it wraps."""
    return [method, *(_methods(method.base) if isinstance(method, Wrapper) else [])]


def teacher_digests(method: Method) -> dict[str, str]:
    """Return a SHA-256 digest of every teacher's weights: a resumed run must have the same teachers."""
    return {name: model_digest(teacher.network) for name, teacher in teachers(method).items()}


def check_given(data: object, networks: Mapping[str, object]) -> None:
    """Check that what a function was given is data and networks, by the names of its arguments.

    Raises:
        InputError: Something else, such as the name of a data set or model.
    """
    check_data(data)
    for name, network in networks.items():
        check_network_kind(name, network)


def check_networks(method: Method, data: Data, device: torch.device) -> None:
    """Run the student and every teacher on two training images and check their logits.

    Raises:
        ModelError: A wrong class count, probabilities instead of logits, or outputs that are not finite; names the
            network.
    """
    x, _ = next(iter(data.train.batches(2, device=device)))
    networks: dict[str, nn.Module] = {"student": method.student, **guides(method), **teachers(method)}
    for name, network in networks.items():
        check_network(name, network, x, data)


def check_network(name: str, network: nn.Module, x: Tensor, data: Data) -> None:
    """Run one network in eval mode on images `x` `[B, C, H, W]` of `data` and check its logits.

    Raises:
        ModelError: As `check_networks`.
    """
    try:
        with eval_mode(network), torch.no_grad():
            check_logits(network(x), data.num_classes)
    except ModelError as error:
        raise ModelError(f"{name}: {error.message}", error.hint) from error
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        kinds = {p.dtype for p in network.parameters() if p.is_floating_point()} - {x.dtype}
        if kinds:
            found = ", ".join(sorted(map(str, kinds)))
            raise ModelError(
                f"{name} has weights in {found}, but the images are {x.dtype}: {reason}",
                "convert it before: network.float()",
            ) from error
        shape = "x".join(map(str, data.shape))
        raise ModelError(
            f"{name} cannot take images of {shape} from {data.name}: {reason}",
            "networks and data must have the same image shape",
        ) from error
