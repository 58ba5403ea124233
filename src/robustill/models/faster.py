"""Layers of a traced network in the place of which others compute the same, faster."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from robustill.models.flat import FlatLinear, flattened
from robustill.models.merge import Merge, with_bias
from robustill.models.rectified import ConvReLU, can_rectify, relu_after
from robustill.models.stem import Stem, is_stem


def with_faster(graph: fx.GraphModule, merges: list[Merge], *, head: str | None, channels_last: bool) -> list[Merge]:
    """Put faster layers in the place of some; return where all layers come from that are not those of the network.

    Args:
        graph: The network, changed in place; not recompiled.
        merges: Where its layers come from that have been merged already.
        head: Name of the layer that gives the logits, which stays as it is.
        channels_last: Feature maps have their channels innermost.
    """
    known = {merge.merged: merge for merge in merges}
    modules = dict(graph.named_modules(remove_duplicate=False))
    for number, node in enumerate([node for node in graph.graph.nodes if node.op == "call_module"]):
        before = str(node.target)
        layer = modules[before]
        faster = _flat(node, modules) if channels_last and before != head else None
        faster = faster or _convolution(node, layer, modules)
        if faster is not None:
            node.target = f"_faster{number}"
            graph.add_submodule(node.target, faster)
            known[node.target] = known.pop(before, Merge(before, None, before))._replace(merged=node.target)
    return list(known.values())


def _flat(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    maps, layer = flattened(node, modules), modules[str(node.target)]
    if maps is None:
        return None
    flat = node.args[0]
    assert isinstance(flat, fx.Node)
    assert isinstance(layer, nn.Linear)
    node.args = (maps, *node.args[1:])
    node.graph.erase_node(flat)
    return FlatLinear(layer, maps.meta["tensor_meta"].shape[1:])


def _convolution(node: fx.Node, layer: Any, modules: dict[str, nn.Module]) -> nn.Module | None:
    relu = relu_after(node, modules) if can_rectify(layer) else None
    if is_stem(layer):
        faster: nn.Module = Stem(layer, rectified=relu is not None)
    elif relu is not None:
        faster = with_bias(layer)
        faster.__class__ = ConvReLU
    else:
        return None
    if relu is not None:
        relu.replace_all_uses_with(node)
        node.graph.erase_node(relu)
    return faster
