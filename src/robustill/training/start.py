"""What must hold before the first step of a run, so that it does not fail after hours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from robustill.attacks import eval_mode
from robustill.data import Data
from robustill.errors import InputError, ModelError
from robustill.methods.base import Method
from robustill.models.weights import can_be_saved
from robustill.training.networks import check_networks, guides
from robustill.training.parts import check_micro_batches, check_processes
from robustill.training.settings import Settings


def check_start(
    method: Method, data: Data, settings: Settings, out: Path | None, device: torch.device, processes: int
) -> None:
    """Check that a run can be trained, and its student written to `out`; `method` and `data` are on `device`.

    Raises:
        InputError: The batches do not fit the method, its networks or the number of processes.
        ModelError: The student cannot be written, or networks and data do not fit.
    """
    check_micro_batches(method, settings)
    check_processes(method, settings, processes)
    if out is not None:
        check_saved(method.student)
    check_networks(method, data, device)
    check_single_images(method, data, settings, device)


def check_saved(student: nn.Module) -> None:
    """Check that a file of the student could be loaded again.

    Raises:
        ModelError: It was not made by `build_model`.
    """
    if not can_be_saved(student):
        raise ModelError(
            f"student: {type(student).__name__} was not made by build_model, so out=... could not hold its file",
            "make it a Classifier with a name in robustill.models.MODELS (see the how-to page on your own network); or "
            "train without out, and save its state_dict yourself",
        )


def check_single_images(method: Method, data: Data, settings: Settings, device: torch.device) -> None:
    """Check that no trained batch norm gets a single value to normalise.

    Raises:
        InputError: A batch, or a part of one, has one image, of which a batch norm sees one value for each channel.
    """
    images, size, parts = len(data.train), settings.batch_size, settings.micro_batches
    if _fewest(images, size, parts) > 1:
        return
    x, _ = next(iter(data.train.batches(2, device=device)))
    norm = next(_of_one_value(method, x), None)
    if norm is None:
        return
    cut = f" in micro_batches = {parts}" if parts > 1 else ""
    found = (better for better in count(size + 1) if _fewest(images, better, parts) > 1 or better > images)
    raise InputError(
        f"batch_size = {size}{cut}: of {images} training images, one is learned by itself, but the batch norm {norm} "
        "needs two or more where the image has shrunk to one pixel",
        f"set batch_size = {next(found)}, or hold out another number of images by data.validation",
    )


def _fewest(images: int, size: int, parts: int) -> int:
    """Return how many images the smallest part of a batch has."""
    sizes = {min(size, images), images % size or size}
    return min(each // min(parts, each) for each in sizes)


def _of_one_value(method: Method, x: Tensor) -> Iterator[str]:
    """Yield the names of batch norms in train mode that see one value of an image for each channel."""
    seen: list[str] = []

    def note(name: str, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if given[0][0, 0].numel() == 1:
            seen.append(name)

    with _train_mode(method):
        norms = {name: m for name, m in method.named_modules() if isinstance(m, _BatchNorm) and m.training}
    hooks = [module.register_forward_pre_hook(partial(note, name)) for name, module in norms.items()]
    try:
        with eval_mode(method), torch.no_grad():
            for network in (method.student, *guides(method).values()):
                network(x)
    finally:
        for hook in hooks:
            hook.remove()
    yield from seen


@contextmanager
def _train_mode(method: Method) -> Iterator[None]:
    """Have all of `method` as a step of training has it, for the block."""
    modes = [(module, module.training) for module in method.modules()]
    try:
        method.train()
        yield
    finally:
        for module, mode in modes:
            module.training = mode
