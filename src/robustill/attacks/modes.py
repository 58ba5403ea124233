"""Evaluation mode for the time of an attack, restored exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(*networks: nn.Module) -> Iterator[None]:
    """Put every module of `networks` in eval mode for the block, then give each its own mode back.

    Modules are restored one by one, so a network with some parts frozen in eval mode stays as it was.

    >>> from torch import nn
    >>> net = nn.Dropout()
    >>> with eval_mode(net):
    ...     print(net.training)
    False
    >>> net.training
    True
    """
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
