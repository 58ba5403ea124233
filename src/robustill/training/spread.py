"""Teachers too large for each process to hold: their weights are spread over the processes, by PyTorch's FSDP.

A frozen teacher has no gradients and no optimizer, so this is a matter of its forward pass, and of the pass back to its
input where a method needs one: a block's weights are collected when it is used, and let go afterwards. Every process
asks its teachers equally often in a step, as FSDP requires: attacks have a fixed number of steps, and each process has
images in every part of a batch.

Students are not spread. Their weights are small beside what an attack and two passes of the loss keep of a batch, which
`micro_batches` divides.
"""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from robustill.methods.base import Method
from robustill.training.networks import teachers

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def spread_teachers(method: Method, device: torch.device, processes: int) -> None:
    """Leave in each process its part of the weights of every frozen network of `method`, which is on `device`.

    Their answers, and the gradients of these with respect to images, stay what they are. The networks stay spread when
    the run is over: then, too, all processes have to ask them together.
    """
    # Two seconds to import.
    from torch.distributed.device_mesh import init_device_mesh

    _forget_at_exit()
    mesh = init_device_mesh(device.type, (processes,))
    for network in {id(teacher.network): teacher.network for teacher in teachers(method).values()}.values():
        _spread(network, mesh)


def _spread(network: nn.Module, mesh: DeviceMesh) -> None:
    from torch.distributed.fsdp import fully_shard

    # What is inside comes first, as FSDP wants it.
    for block in reversed(_blocks(network)):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


@cache
def _forget_at_exit() -> None:
    """Let go of the other processes before they are left: PyTorch remembers how it divided tensors, and among whom."""
    from torch.distributed.tensor.debug import _clear_sharding_prop_cache

    atexit.register(_clear_sharding_prop_cache)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Return the parts of `network` that are used one after the other and consist of several layers."""
    lists = [module for module in network.modules() if isinstance(module, nn.Sequential | nn.ModuleList)]
    parts = [part for each in lists for part in each if any(True for _ in part.children())]
    return [part for part in parts if part is not network and any(True for _ in part.parameters())]
