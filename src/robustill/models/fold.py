"""A network traced to a graph in which batch norms are merged into the layers before them, for evaluation only."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from robustill.models.faster import with_faster
from robustill.models.merge import Merge, with_bias
from robustill.models.precision import WEIGHT_LAYERS
from robustill.models.trace import trace

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MERGED = "_merged"


def fold(
    network: nn.Module, sample: Tensor | None, *, channels_last: bool = False, faster: bool = True
) -> tuple[fx.GraphModule, list[Merge]]:
    """Return a network in eval mode as a graph without the batch norms that are the only user of a layer's output.

    The merged layers still have the weights of the layer alone: `merge_` fills them. The graph shares every other
    module with `network`.

    Args:
        network: A copy that may be taken apart, in eval mode.
        sample: Inputs `[B, ...]`; without them a batch norm after a linear layer stays, because it would normalise
            another axis if its input were not `[B, C]`.
        channels_last: Feature maps will have their channels innermost.
        faster: Put our own faster layers in the place of some.

    Raises:
        Exception: The network cannot be traced; see `trace`.
    """
    graph = trace(network)
    if sample is not None:
        with torch.no_grad():
            ShapeProp(graph).propagate(sample)
    modules = dict(graph.named_modules(remove_duplicate=False))
    calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    merges: list[Merge] = []
    for norm in list(graph.graph.nodes):
        layer = _layer_before(norm, modules)
        if layer is not None and calls[layer.target] == 1:
            merge = Merge(str(layer.target), str(norm.target), f"{_MERGED}{len(merges)}")
            graph.add_submodule(merge.merged, with_bias(modules[merge.layer]))
            layer.target = merge.merged
            norm.replace_all_uses_with(layer)
            graph.graph.erase_node(norm)
            merges.append(merge)
    if faster:
        merges = with_faster(graph, merges, head=head_of(graph), channels_last=channels_last)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph, merges


def head_of(graph: fx.GraphModule) -> str | None:
    """Return the name of the last layer with weights if it is linear, as that of a classifier is."""
    modules = dict(graph.named_modules())
    layers = [node.target for node in graph.graph.nodes if _calls(node, modules, WEIGHT_LAYERS)]
    return str(layers[-1]) if layers and type(modules[layers[-1]]) is nn.Linear else None


def _layer_before(norm: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """Return the layer whose output goes into batch norm `norm` and nowhere else."""
    layer = norm.args[0] if _calls(norm, modules, _NORMS) and norm.args else None
    if not isinstance(layer, fx.Node) or not _calls(layer, modules, WEIGHT_LAYERS) or len(layer.users) > 1:
        return None
    # Without running statistics a batch norm uses those of the batch, in eval mode too.
    if modules[str(norm.target)].running_mean is None:
        return None
    shape = layer.meta["tensor_meta"].shape if "tensor_meta" in layer.meta else ()
    return None if type(modules[str(layer.target)]) is nn.Linear and len(shape) != 2 else layer


def _calls(node: fx.Node, modules: dict[str, nn.Module], kinds: tuple[type[nn.Module], ...]) -> bool:
    # Exactly these types: a subclass may compute something else.
    return node.op == "call_module" and type(modules[str(node.target)]) in kinds
