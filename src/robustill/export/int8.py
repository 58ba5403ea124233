"""ONNX files with weights and activations of eight bits, made by onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from robustill.data import Data
from robustill.data.splits import to_unit
from robustill.errors import InputError, nearest
from robustill.evaluation import balanced
from robustill.export.onnx_file import INPUT, packed
from robustill.progress import Bar, bar

Quantization = Literal["static", "dynamic"]
_BATCH = 64
# Tells onnxruntime that nothing is left to fold: torch's exporter has folded the batch norms that can be.
_FOLDED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def check_quantization(name: str) -> Quantization:
    """Return the kind of quantisation that `name` asks for.

    Raises:
        InputError: There is none of that name.
    """
    for each in get_args(Quantization):
        if each == name:
            found: Quantization = each
            return found
    raise InputError(f"unknown quantisation {name!r}", nearest(name, get_args(Quantization)))


def calibration_images(data: Data, count: int, seed: int) -> tuple[str, Tensor]:
    """Return images that show the ranges of activations, and the split they are of: validation, or else training.

    Never of the test split: what is measured there must not have shaped the file.

    Args:
        data: Where to take them.
        count: How many at most, as many of each class as there can be.
        seed: Draws them.

    Raises:
        InputError: `count` is not a number of images.
    """
    name, split = ("train", data.train) if data.validation is None else ("validation", data.validation)
    return name, to_unit(split.images(balanced(split.labels, count, seed))).cpu()


def quantised(content: bytes, images: Tensor | None, metadata: dict[str, str], *, progress: bool = True) -> bytes:
    """Return an ONNX file as one of eight bits.

    With images it is static: the range of every activation is what it is on them. Weights get a scale per output
    channel and seven bits of their eight: then no processor's 16-bit sums saturate, and what is measured here holds
    elsewhere. Without images it is dynamic: weights alone are converted beforehand, activations are scaled by what is
    in the batch, so that a prediction depends on the company of the image.

    Args:
        content: The file in float32.
        images: Images `[n, C, H, W]` in [0, 1]; None for dynamic.
        metadata: What the file says of itself.
        progress: Show a bar.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    # In and out by files: onnxruntime changes a model that it is given in memory.
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        proto = onnx.load_from_string(content)
        onnx.helper.set_model_props(proto, _FOLDED)
        onnx.save(proto, there)
        # Those before a convolution cannot be folded; rounded to one scale for all channels, they would cost accuracy.
        norms = [node.name for node in proto.graph.node if node.op_type == "BatchNormalization"]
        if images is None:
            quantize_dynamic(there, back, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
        else:
            with bar("calibration", len(images), show=progress) as shown:
                quantize_static(
                    there, back, _Batches(images, shown), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
                    nodes_to_exclude=norms,
                )  # fmt: skip
        return packed(onnx.load(back), metadata)


class _Batches:
    """What onnxruntime calls a reader of calibration data."""

    def __init__(self, images: Tensor, shown: Bar) -> None:
        self._left: Iterator[Tensor] = iter(torch.split(images, _BATCH))
        self._shown = shown

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """Return the next batch; None after the last."""
        images = next(self._left, None)
        if images is None:
            return None
        self._shown.advance(len(images))
        return {INPUT: images.numpy()}
