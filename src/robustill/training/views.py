"""Faster forms of a method's networks for its adversary, and of its teachers for all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustill.methods.base import AdversarialMethod, Method
from robustill.methods.wrapper import Wrapper
from robustill.models import attack_view
from robustill.training.networks import guides, teachers


def install_views(
    method: Method,
    sample: Tensor,
    dtype: torch.dtype,
    *,
    channels_last: bool,
    teacher_as: Callable[[nn.Module, nn.Module], nn.Module] | None = None,
) -> dict[str, str]:
    """Let the adversary of `method` attack folded copies of its networks; return why some cannot be had, by name.

    Trained networks are replaced during the attack alone, and their copies refreshed before it. Teachers never change:
    their copies answer for them everywhere.

    Args:
        method: Its networks are on their device.
        sample: Images on which each copy is compared with its network, `[B, C, H, W]`.
        dtype: Type of the copies' layers.
        channels_last: Layout of the copies.
        teacher_as: Makes what answers for a teacher out of its copy and itself; the copy alone when None.
    """
    excuses = {}
    for name, teacher in teachers(method).items():
        view = attack_view(teacher.network, dtype=dtype, channels_last=channels_last, sample=sample)
        teacher.use(view if teacher_as is None else teacher_as(view, teacher.network))
        excuses[name] = view.why
    innermost = method.innermost if isinstance(method, Wrapper) else method
    if isinstance(innermost, AdversarialMethod):
        views = {}
        for name, network in {"student": method.student, **guides(method)}.items():
            views[name] = attack_view(network, dtype=dtype, channels_last=channels_last, sample=sample)
            excuses[name] = views[name].why
        innermost.views = tuple(views.values())
    return {name: why for name, why in excuses.items() if why is not None}
