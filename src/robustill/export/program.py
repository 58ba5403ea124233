"""A network as a program of `torch.export`, for runtimes of PyTorch such as AOTInductor and ExecuTorch.

Such a file is only ever written here: reading one may execute what its author put into it.
"""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import nn

from robustill.attacks import eval_mode
from robustill.models import Classifier

# Where each operation came from, with the paths of this machine.
_PRIVATE = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")


def to_program(model: Classifier) -> tuple[bytes, nn.Module]:
    """Return `model` as the content of a .pt2 file, for any batch size, and the program that is in it as a network."""
    with eval_mode(model), torch.no_grad():
        program = torch.export.export(
            model, (torch.zeros(2, *model.spec.shape),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
    for module in program.graph_module.modules():
        _strip(getattr(module, "graph", None))
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue(), program.module()


def _strip(graph: Any) -> None:
    for node in getattr(graph, "nodes", ()):
        for name in _PRIVATE:
            node.meta.pop(name, None)
