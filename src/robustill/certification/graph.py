"""A network as a list of operations with known bounds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from robustill.certification.interval import Interval
from robustill.certification.known import AVERAGES, FUNCTIONS, MODULES
from robustill.certification.layers import (
    ARITHMETIC,
    SAME,
    SUPPORTED,
    Call,
    UnsupportedError,
    Var,
    arithmetic,
    weighted,
)
from robustill.certification.linear_ops import Affine, Conv, Linear
from robustill.certification.op import Input, Op
from robustill.errors import ModelError
from robustill.models.frozen import Frozen
from robustill.models.trace import obstacle, trace

_HEADS: dict[Any, str] = {
    **dict.fromkeys((nn.Softmax, F.softmax, torch.softmax, "softmax"), "softmax"),
    **dict.fromkeys((nn.LogSoftmax, F.log_softmax, torch.log_softmax, "log_softmax"), "log_softmax"),
}


class Graph:
    """The operations of a network in the order of computation; the first is its input, the last gives its logits.

    They hold the network's own parameters, so that bounds can be differentiated by them.

    Attributes:
        ops: The operations.
        head: "softmax" or "log_softmax" where the network ends with one, which is not among the operations.
    """

    def __init__(self, ops: list[Op], head: str | None) -> None:
        self.ops, self.head = ops, head
        self.uses: list[list[int]] = [[] for _ in ops]
        for index, op in enumerate(ops):
            for source in op.inputs:
                self.uses[source].append(index)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.ops[-1].size


def read_graph(model: nn.Module, x: Tensor) -> Graph:
    """Return the operations that `model`, in eval mode, applies to images like `x`.

    Raises:
        ModelError: It is in train mode, cannot be traced, or has an operation without known bounds.
    """
    model = model.network if isinstance(model, Frozen) else model
    _check(model)
    sample = torch.linspace(0, 1, 2 * x[0:1].numel() if len(x) else 2 * x.shape[1:].numel(), dtype=x.dtype)
    sample = sample.sin().reshape(2, *x.shape[1:]).to(x.device)
    try:
        graph = trace(model)
    except Exception as error:
        raise ModelError(f"bounds need the calls of the network, which cannot be traced: {error}") from error
    reader = _Reader(graph, sample)
    found = reader.read()
    _compare(found, model, sample)
    return found


def _check(model: nn.Module) -> None:
    if model.training or any(module.training for module in model.modules()):
        name = next(name for name, module in model.named_modules() if module.training)
        raise ModelError(f"{name or 'the network'} is in train mode", "bounds hold in eval mode: call .eval() first")
    why = obstacle(model)
    if why is not None:
        raise ModelError(f"bounds need the calls of the network, but {why}")


class _Reader:
    """Goes through the calls of a traced network once, with two sample images for the shapes."""

    def __init__(self, traced: fx.GraphModule, sample: Tensor) -> None:
        self.traced, self.sample = traced, sample
        self.modules = dict(traced.named_modules(remove_duplicate=False))
        self.ops: list[Op] = []
        self.head: str | None = None
        # Values on the sample, and for what depends on the images its place among the operations.
        self.values: dict[fx.Node, Any] = {}
        self.vars: dict[fx.Node, Var] = {}

    def read(self) -> Graph:
        """Return the operations."""
        for node in self.traced.graph.nodes:
            if node.op == "output":
                return self._finish(node.args[0])
            if self.head is not None:
                raise ModelError(f"{self._name(node)} follows a softmax", "bounds cover a softmax only at the end")
            if node.op == "placeholder":
                self._placeholder(node)
            elif self._depends(node):
                self._call(node)
            else:
                self.values[node] = self._run(node)
        raise ModelError("the network returns nothing", "its forward must return logits [B, classes]")

    def _placeholder(self, node: fx.Node) -> None:
        if self.ops:
            self.values[node] = node.args[0] if node.args else None
            return
        self.values[node] = self.sample
        self.ops.append(Input((), tuple(self.sample.shape[1:])))
        self.vars[node] = Var(0, self.ops[0].shape)

    def _depends(self, node: fx.Node) -> bool:
        return any(each in self.vars for each in node.all_input_nodes)

    def _run(self, node: fx.Node) -> Any:
        args, kwargs = _replaced(node, self.values.__getitem__)
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.traced)
        if node.op == "call_module":
            return self.modules[str(node.target)](*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def _call(self, node: fx.Node) -> None:
        with torch.no_grad():
            value = self.values[node] = self._run(node)
        if not isinstance(value, Tensor):
            if any(isinstance(each, Tensor) for each in tree_leaves(value)):
                hint = f"supported are {SUPPORTED}"
                raise ModelError(f"no bounds for {self._name(node)}: it returns several tensors", hint)
            # Such as a size; it is the same for every image.
            return
        if value.dim() < 2 or len(value) != len(self.sample):
            raise ModelError(f"{self._name(node)} mixes the images of a batch", "bounds need each image by itself")
        shape = tuple(value.shape[1:])
        args, kwargs = _replaced(node, lambda each: self.vars.get(each) or self.values[each])
        try:
            self._append(node, Call(args, kwargs, shape))
        except UnsupportedError as error:
            raise ModelError(f"no bounds for {self._name(node)}: {error}", f"supported are {SUPPORTED}") from None

    def _append(self, node: fx.Node, call: Call) -> None:
        kind = self._kind(node)
        if kind in _HEADS and call.get(1, "dim", getattr(self._module(node), "dim", None)) in (1, -1):
            self.head, self.vars[node] = _HEADS[kind], call.source
            return
        if kind in SAME or kind in (F.dropout, "clone", "detach", "float", "to"):
            self.vars[node] = call.source
            return
        op = self._op(node, kind, call)
        op.name = self._name(node)
        self.vars[node] = Var(self._joined(node, op), call.shape)

    def _op(self, node: fx.Node, kind: Any, call: Call) -> Op:
        if node.op == "call_module" and kind in MODULES:
            return MODULES[kind](call, self._module(node))
        if kind in ARITHMETIC:
            return arithmetic(call, ARITHMETIC[kind], self.sample)
        if kind in FUNCTIONS:
            return FUNCTIONS[kind](call)
        if kind in AVERAGES:
            return weighted(call, self._alone(node))
        raise UnsupportedError("this operation is not covered")

    def _joined(self, node: fx.Node, op: Op) -> int:
        """Add an operation, or put a scale and shift into the layer before it if nothing else reads that."""
        if isinstance(op, Affine):
            before = self.ops[op.inputs[0]]
            readers = {user for each, var in self.vars.items() if var.index == op.inputs[0] for user in each.users}
            if isinstance(before, (Linear, Conv, Affine)) and all(
                n is node or self._same(n, op.inputs[0]) for n in readers
            ):
                joined = before.scaled(op.scale, op.shift)
                if joined is not None:
                    joined.name = before.name
                    self.ops[op.inputs[0]] = joined
                    return op.inputs[0]
        self.ops.append(op)
        return len(self.ops) - 1

    def _same(self, node: fx.Node, index: int) -> bool:
        return node in self.vars and self.vars[node].index == index

    def _alone(self, node: fx.Node) -> Callable[[Tensor], Tensor]:
        """Return the call as a function of its first argument."""
        (_, *rest), kwargs = _replaced(node, self.values.__getitem__)
        if node.op == "call_method":
            return lambda value: getattr(value, str(node.target))(*rest, **kwargs)
        target: Any = node.target
        return lambda value: target(value, *rest, **kwargs)

    def _finish(self, result: Any) -> Graph:
        if not isinstance(result, fx.Node) or result not in self.vars or len(self.vars[result].shape) != 1:
            raise ModelError("bounds need a network that returns logits [B, classes]")
        if self.vars[result].index != len(self.ops) - 1:
            self.ops = self.ops[: self.vars[result].index + 1]
        return Graph(self.ops, self.head)

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _kind(self, node: fx.Node) -> Any:
        return type(self._module(node)) if node.op == "call_module" else node.target

    def _name(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return f"{node.target} ({type(self._module(node)).__name__})"
        return str(getattr(node.target, "__name__", node.target))


def _replaced(node: fx.Node, value: Callable[[fx.Node], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with values for the nodes among them."""
    found: Any = fx.node.map_arg((node.args, node.kwargs), value)
    return found[0], found[1]


@torch.no_grad()
def _compare(graph: Graph, model: nn.Module, sample: Tensor) -> None:
    """Compare what the operations compute at single points with the network itself."""
    boxes = [Interval(sample, sample)]
    for op in graph.ops[1:]:
        boxes.append(op.interval(*(boxes[source] for source in op.inputs)))
    ours = boxes[-1].lower
    if graph.head is not None:
        ours = ours.softmax(1) if graph.head == "softmax" else ours.log_softmax(1)
    expected = model(sample)
    if not bool(expected.isfinite().all()):
        raise ModelError(
            "the network returned infinite or undefined logits, which have no bounds",
            "broken weights or a wrong normalisation are the usual reasons",
        )
    size = expected.abs().max().clamp(min=1)
    if ours.shape != expected.shape or not torch.allclose(ours, expected, rtol=0, atol=1e-3 * float(size)):
        raise ModelError("the operations read from the network do not compute its logits", "its forward does more")
