"""Faster forms of a method's networks for its adversary, and of its teachers for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.errors import InputError
from robustill.methods.base import AdversarialMethod, Method
from robustill.methods.wrapper import Wrapper
from robustill.models import Frozen, attack_view
from robustill.training.answers import Answers
from robustill.training.networks import guides, teachers
from robustill.training.settings import Settings


def choose_views(
    method: Method, data: Data, settings: Settings, device: torch.device, answers: Answers | None, rows: int
) -> dict[str, str]:
    """Let the adversary and the teachers of a run be as fast as `settings` allow; return as `install_views`.

    Args:
        method: Its networks are on `device`.
        data: Some of its training images are read.
        settings: Of the run.
        device: Where the run computes.
        answers: Remembers what teachers say; None for teachers of which there can be no copy.
        rows: How many images are attacked at once.

    Raises:
        InputError: There are to be no copies, but they are to be compiled.
    """
    if settings.compile and not settings.attack_view:
        raise InputError("compile = true, but attack_view = false", "the attack's copies are what is compiled")
    if not settings.attack_view:
        for teacher in teachers(method).values():
            if answers is not None:
                teacher.use(answers.of(teacher.network, teacher.network))
        return {}
    x, _ = next(iter(data.train.batches(8, device=device)))
    dtype = torch.bfloat16 if settings.mixed_precision == "bf16" else torch.float32
    remembered = None if answers is None else answers.of
    compile_for = (rows, *x.shape[1:]) if settings.compile else None
    return install_views(
        method, x, dtype, channels_last=settings.channels_last, teacher_as=remembered, compile_for=compile_for
    )


def forget_views(method: Method) -> None:
    """Take away what an earlier run of the same method has installed: its settings were others."""
    for module in method.modules():
        if isinstance(module, Frozen):
            module.use(None)
        elif isinstance(module, AdversarialMethod):
            module.views = ()


def tell(excuses: Mapping[str, str], settings: Settings) -> None:
    """Say on standard error what will be slow: what `choose_views` returned, and the compilation."""
    for name, why in excuses.items():
        sys.stderr.write(f"note: {name} is attacked as it is, without folding or in float32: {why}\n")
    if settings.compile:
        sys.stderr.write("note: the first step compiles the attack, which takes from seconds to a minute\n")


def _the_copy(view: nn.Module, network: nn.Module) -> nn.Module:
    return view


def install_views(
    method: Method,
    sample: Tensor,
    dtype: torch.dtype,
    *,
    channels_last: bool,
    teacher_as: Callable[[nn.Module, nn.Module], nn.Module] | None = _the_copy,
    compile_for: Sequence[int] | None = None,
) -> dict[str, str]:
    """Let the adversary of `method` attack folded copies of its networks; return why some cannot be had, by name.

    Trained networks are replaced during the attack alone, and their copies refreshed before it. Teachers never change:
    their copies answer for them everywhere.

    Args:
        method: Its networks are on their device.
        sample: Images on which each copy is compared with its network, `[B, C, H, W]`.
        dtype: Type of the copies' layers.
        channels_last: Layout of the copies.
        teacher_as: Makes what answers for a teacher out of its copy and itself; None makes no copies of teachers.
        compile_for: Shape `(B, C, H, W)` of the batches for which the copies are compiled.
    """
    excuses = {}
    copied = partial(attack_view, dtype=dtype, channels_last=channels_last, sample=sample, compile_for=compile_for)
    for name, teacher in teachers(method).items():
        if teacher_as is None:
            break
        view = copied(teacher.network)
        teacher.use(teacher_as(view, teacher.network))
        excuses[name] = view.why
    innermost = method.innermost if isinstance(method, Wrapper) else method
    if isinstance(innermost, AdversarialMethod):
        views = {}
        for name, network in {"student": method.student, **guides(method)}.items():
            views[name] = copied(network)
            excuses[name] = views[name].why
        innermost.views = tuple(views.values())
    return {name: why for name, why in excuses.items() if why is not None}
