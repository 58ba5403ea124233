"""A network as an ONNX file, and such a file as a network."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import eval_mode
from robustill.models import Classifier

OPSET = 20
"""Version of the operators; onnxruntime reads it from 1.18 on."""
INPUT, OUTPUT = "images", "logits"
_SPEAKS_OF_TORCHVISION = "torch.onnx._internal.exporter._registration"
# What the exporters write for their own developers, paths of this machine among it.
_PRIVATE = ("metadata_props", "doc_string", "value_info")


def to_onnx(model: Classifier) -> bytes:
    """Return `model` as ONNX: images `[batch, C, H, W]` in [0, 1] to logits `[batch, classes]`, for any batch size.

    The normalisation is inside. The file names the architecture, the classes and the range of its input, and nothing
    of this machine; equal weights give equal bytes.
    """
    example = torch.zeros(2, *model.spec.shape)
    with eval_mode(model), torch.no_grad(), _quiet():
        program = torch.onnx.export(
            model, (example,), input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch")},), dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    return packed(program.model_proto, about(model))


def about(model: Classifier) -> dict[str, str]:
    """Return what a file says of itself: architecture, classes, shape and range of its input."""
    spec = model.spec
    return {
        "architecture": spec.name,
        "class_names": json.dumps(model.class_names),
        "input": f"{INPUT}: float32 [batch, {', '.join(map(str, spec.shape))}] in [0,1], not normalised",
        "num_classes": str(spec.num_classes),
        "output": f"{OUTPUT}: float32 [batch, {spec.num_classes}]",
    }


def packed(proto: Any, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX model as bytes, without what its exporter noted down for itself and with this metadata."""
    import onnx

    _strip(proto)
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _strip(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in _PRIVATE:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                _strip(each)


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger(_SPEAKS_OF_TORCHVISION)
    level = logger.level
    # It would tell every user that torchvision, which no network here needs, is not installed.
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch's exporter copies tree specs of a class that torch itself has deprecated.
            warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


class OnnxNetwork(nn.Module):
    """An ONNX file as a network for attacks that need no gradient: onnxruntime computes the logits, on the CPU.

    Args:
        content: The file.
        alone: Give onnxruntime one image at a time, for files whose logits depend on the rest of the batch.
    """

    def __init__(self, content: bytes, *, alone: bool = False) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.alone = alone
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[B, C, H, W]` to logits `[B, classes]`, without a graph."""
        images = x.detach().to("cpu", torch.float32).contiguous()
        batches = torch.split(images, 1) if self.alone and len(images) else [images]
        found = [torch.from_numpy(self._session.run([OUTPUT], {INPUT: each.numpy()})[0]) for each in batches]
        return torch.cat(found).to(x.device)
