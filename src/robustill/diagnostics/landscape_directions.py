"""Directions in weight space as long, filter by filter, as the weights (Li et al., NeurIPS 2018, arXiv 1712.09913)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.errors import ModelError


def filter_normalised(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Return a Gaussian direction by parameter name, each of its filters rescaled to the norm of the network's filter.

    A filter is what belongs to one output: an index of the first dimension. Biases and the weights of normalisation
    layers, which have one dimension, do not move, and are left out. Networks of one architecture and generators of one
    seed draw the same direction before it is rescaled, on any device.

    Args:
        network: Its weights set the lengths.
        generator: A generator on the CPU.

    Raises:
        ModelError: No parameter has two or more dimensions.

    >>> layer = nn.Linear(3, 2)
    >>> found = filter_normalised(layer, torch.Generator().manual_seed(0))
    >>> list(found), torch.allclose(found["weight"].norm(dim=1), layer.weight.norm(dim=1))
    (['weight'], True)
    """
    found = {}
    for name, weight in network.named_parameters():
        if weight.ndim < 2:
            continue
        wanted = weight.detach()
        drawn = torch.randn(wanted.shape, generator=generator).to(wanted)
        lengths = [each.flatten(1).norm(dim=1) for each in (wanted, drawn)]
        scale = lengths[0] / (lengths[1] + 1e-10)
        found[name] = drawn * scale.reshape(-1, *[1] * (wanted.ndim - 1))
    if not found:
        raise ModelError(f"{type(network).__name__} has no weight with two or more dimensions to move along")
    return found
