"""The content of each file of an export, checked against the network before anything is written."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.errors import InputError, ModelError
from robustill.export.formats import FILES
from robustill.export.int8 import Quantization, calibration_images, quantised
from robustill.export.onnx_file import OPSET, OnnxNetwork, about, to_onnx
from robustill.export.parity import Parity, compare
from robustill.export.program import to_program
from robustill.models import Classifier, load_model, save_model

_ANY_IMAGES = 64


@dataclass(frozen=True)
class Content:
    """A file before it is written.

    Attributes:
        content: Its bytes.
        parity: How it differs from the network.
        network: The file as a network, where it is to be attacked; None: its logits are the network's.
        details: For `export.json`.
    """

    content: bytes
    parity: Parity
    network: nn.Module | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """Images `[n, C, H, W]` that a quantisation sees, the split they are of, and the seed that drew them."""

    split: str
    images: Tensor
    seed: int


def make_contents(
    model: Classifier,
    formats: Sequence[str],
    x: Tensor,
    *,
    quantization: Quantization,
    calibration: Calibration | None,
    progress: bool,
) -> dict[str, Content]:
    """Return the files of these formats; all but int8 give the network's logits on `x`, up to rounding.

    Raises:
        ModelError: One does not, or the network cannot be written in that format.
        InputError: A static quantisation without images.
    """
    found = {}
    if "safetensors" in formats:
        found["safetensors"] = _safetensors(model, x)
    if "onnx" in formats or "int8" in formats:
        content = to_onnx(model)
        file = OnnxNetwork(content)
        parity = compare(model, file, x)
        parity.check(FILES["onnx"])
        if "onnx" in formats:
            found["onnx"] = Content(content, parity, file, {"opset": OPSET})
        if "int8" in formats:
            found["int8"] = _int8(model, content, x, quantization, calibration, progress)
    if "torch-export" in formats:
        content, program = to_program(model)
        parity = compare(model, program, x)
        parity.check(FILES["torch-export"])
        found["torch-export"] = Content(content, parity)
    return found


def calibrated(data: Any, count: int, seed: int) -> Calibration:
    """Return the images of a static quantisation, as `calibration_images`."""
    return Calibration(*calibration_images(data, count, seed), seed)


def any_images(model: Classifier, seed: int) -> Tensor:
    """Return noise in [0, 1] of the network's shape, to compare logits on where there is no data."""
    return torch.rand(_ANY_IMAGES, *model.spec.shape, generator=torch.Generator().manual_seed(seed))


def _safetensors(model: Classifier, x: Tensor) -> Content:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILES["safetensors"]
        save_model(model, path, extra=model.extra)
        parity = compare(model, load_model(path), x)
        content = path.read_bytes()
    if parity.largest_difference:
        raise ModelError(f"{FILES['safetensors']} does not give back the network", "this is a mistake of robustill")
    return Content(content, parity)


def _int8(
    model: Classifier, content: bytes, x: Tensor, how: Quantization, calibration: Calibration | None, progress: bool
) -> Content:
    if how == "static" and calibration is None:
        raise InputError(
            "int8 needs images to calibrate on, and nothing says which data", "give data, or quantization dynamic"
        )
    images = calibration.images if calibration is not None and how == "static" else None
    small = quantised(content, images, about(model), progress=progress)
    file = OnnxNetwork(small, alone=how == "dynamic")
    details: dict[str, Any] = {"opset": OPSET, "quantization": {"kind": how, "processor": platform.machine()}}
    if images is not None and calibration is not None:
        details["quantization"] |= {
            "activations": "uint8", "weights": "int8, 7 bits used, per channel", "split": calibration.split,
            "images": len(images), "seed": calibration.seed,
        }  # fmt: skip
    return Content(small, compare(model, file, x), file, details)
