"""A network traced to a graph in which batch norms are merged into the layers before them, for evaluation only."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from robustill.models.precision import WEIGHT_LAYERS
from robustill.models.stem import Stem, is_stem
from robustill.models.trace import trace

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MERGED = "_merged"


class Merge(NamedTuple):
    """Where a rewritten layer comes from: names in the network that was traced (perhaps no norm), one in the graph."""

    layer: str
    norm: str | None
    merged: str


def fold(network: nn.Module, sample: Tensor | None) -> tuple[fx.GraphModule, list[Merge]]:
    """Return a network in eval mode as a graph without the batch norms that are the only user of a layer's output.

    The merged layers still have the weights of the layer alone: `merge_` fills them. The graph shares every other
    module with `network`.

    Args:
        network: A copy that may be taken apart, in eval mode.
        sample: Inputs `[B, ...]`; without them a batch norm after a linear layer stays, because it would normalise
            another axis if its input were not `[B, C]`.

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
            graph.add_submodule(merge.merged, _with_bias(modules[merge.layer]))
            layer.target = merge.merged
            norm.replace_all_uses_with(layer)
            graph.graph.erase_node(norm)
            merges.append(merge)
    merges = _with_stems(graph, merges)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph, merges


def _with_stems(graph: fx.GraphModule, merges: list[Merge]) -> list[Merge]:
    """Put a `Stem` in the place of each strided convolution of few channels; return the merges that are left."""
    known, stems = {merge.merged: merge for merge in merges}, 0
    modules = dict(graph.named_modules(remove_duplicate=False))
    for node in graph.graph.nodes:
        if node.op == "call_module" and is_stem(modules[str(node.target)]):
            name, before = f"_stem{stems}", str(node.target)
            stems += 1
            graph.add_submodule(name, Stem(modules[before]))
            merge = known.pop(before, Merge(before, None, before))
            known[name] = merge._replace(merged=name)
            node.target = name
    return list(known.values())


@torch.no_grad()
def merge_(merged: Any, layer: Any, norm: Any) -> None:
    """Write the weight and bias of `norm(layer(.))` in eval mode into `merged`, computed in float64; no norm: None."""
    weight, bias = layer.weight.double(), 0.0 if layer.bias is None else layer.bias.double()
    if norm is not None:
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.double()
        bias = (bias - norm.running_mean.double()) * scale
        bias = bias if norm.bias is None else bias + norm.bias.double()
        weight = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    if isinstance(merged, Stem):
        merged.load(weight, bias)
    else:
        merged.weight.copy_(weight)
        merged.bias.copy_(bias)


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


def _with_bias(layer: Any) -> nn.Module:
    layer = copy.deepcopy(layer)
    if layer.bias is None:
        layer.bias = nn.Parameter(layer.weight.new_zeros(len(layer.weight)))
    return layer  # type: ignore[no-any-return]
