"""A network as a graph, or why it cannot be one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from robustill.errors import ModelError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def obstacle(model: nn.Module) -> str | None:
    """Return why a copy of `model` might not do what it does, or None."""
    for name, module in model.named_modules():
        where = f"its {name}" if name else "it"
        if any(getattr(module, kind) for kind in _HOOKS):
            return f"{where} has hooks"
        if parametrize.is_parametrized(module):
            return f"{where} has parametrised weights"
        if "forward" in vars(module) or type(module).__call__ is not nn.Module.__call__:
            return f"{where} is called by other means than the forward of its class"
    return None


@contextmanager
def same_draws(network: nn.Module) -> Iterator[None]:
    """Give the random generators their state back, which a network that draws would move."""
    state = random.getstate()
    devices = {parameter.device for parameter in network.parameters() if parameter.is_cuda}
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(state)


class _Tracer(fx.Tracer):
    # Otherwise what a network computes from its buffers would be a constant of the graph, which no refresh reaches.
    proxy_buffer_attributes = True


def trace(network: nn.Module) -> fx.GraphModule:
    """Return the calls that `network` makes as a graph that shares its modules.

    Raises:
        ModelError: It draws random numbers or makes tensors of its own, which a graph would keep for good.
        Exception: Whatever else it raises when it is called on a placeholder.
    """
    drawn = _draws()
    graph = _Tracer().trace(network)
    if _draws() != drawn:
        raise ModelError("it draws random numbers")
    if any(str(node.target).startswith("_tensor_constant") for node in graph.nodes if node.op == "get_attr"):
        raise ModelError("it makes tensors of its own")
    for node in graph.nodes:
        if node.op == "call_method" and node.target == "view":
            # What a layer returns in the channels-last order cannot be viewed as rows.
            node.target = "reshape"
    return fx.GraphModule(network, graph)


def _draws() -> tuple[Any, ...]:
    return torch.get_rng_state().numpy().tobytes(), random.getstate()
