"""Code in a card: how to use the files, and how to make them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from robustill.export.formats import FILES
from robustill.export.onnx_file import INPUT, OUTPUT
from robustill.export.result import Exported
from robustill.terminal import printable


def snippets(exported: Exported, repository: str | None) -> Iterator[tuple[str, str]]:
    """Yield what each snippet is for, and the snippet."""
    shape = ", ".join(map(str, exported.model["shape"]))
    if "safetensors" in exported.files:
        source = f"hf-hub:{repository}" if repository else FILES["safetensors"]
        yield (
            "With robustill",
            f'import torch\nimport robustill\n\nmodel = robustill.load_model("{source}")\n'
            f"images = torch.zeros(1, {shape})  # in [0, 1]\nlogits = model(images)",
        )
    onnx = [FILES[name] for name in ("onnx", "int8") if name in exported.files]
    if onnx:
        yield (
            "With onnxruntime",
            f'import numpy as np\nimport onnxruntime\n\nsession = onnxruntime.InferenceSession("{onnx[0]}")\n'
            f"images = np.zeros((1, {shape}), np.float32)  # in [0, 1]\n"
            f'(logits,) = session.run(["{OUTPUT}"], {{"{INPUT}": images}})',
        )


def command(options: Sequence[str]) -> str:
    """Return the call of `robustill export` with these options."""
    return shlex.join(["robustill", "export", *map(printable, options)])
