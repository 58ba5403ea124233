"""How far the logits of an exported file are from the network's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import eval_mode
from robustill.errors import ModelError

# Kernels of float32 that add in another order differ by some 1e-6 of the largest logit.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """A network and its file on the same images.

    Attributes:
        images: How many.
        largest_difference: Of any two logits.
        largest_logit: By its size, of the network; for scale.
        agreement: Share of the images that both give the same class.
    """

    images: int
    largest_difference: float
    largest_logit: float
    agreement: float

    @property
    def allowed(self) -> float:
        """The largest difference that rounding explains."""
        return _TOLERANCE * (1 + self.largest_logit)

    def to_json(self) -> dict[str, Any]:
        """Return the part of `export.json`."""
        return asdict(self)

    def check(self, file: str) -> None:
        """Check that nothing but rounding differs.

        Raises:
            ModelError: More does.
        """
        if self.largest_difference > self.allowed:
            raise ModelError(
                f"{file} does not compute what the network does: on {self.images} images logits differ by up to "
                f"{self.largest_difference:.3g}, where rounding explains {self.allowed:.1g}",
                "nothing was written; try other versions of torch, onnxscript or onnxruntime, or another format",
            )


def compare(network: nn.Module, file: nn.Module, x: Tensor, batch_size: int = 256) -> Parity:
    """Return how two networks differ on images `[n, C, H, W]`, asked for in batches of one, of two, and larger ones.

    Raises:
        ModelError: Logits that are not finite.
    """
    sizes = [1, 2, *[batch_size] * (len(x) // batch_size + 1)]
    batches, start = [], 0
    for size in sizes:
        batches.append(x[start : start + size])
        start += size
    with eval_mode(network), torch.no_grad():
        ours = torch.cat([network(each) for each in batches if len(each)]).double()
    with torch.no_grad():
        theirs = torch.cat([file(each) for each in batches if len(each)]).double()
    for logits, whose in ((ours, "the network"), (theirs, "its exported form")):
        if not bool(logits.isfinite().all()):
            raise ModelError(f"{whose} returns infinite or undefined logits", "nothing was written; was it trained?")
    same = (ours.argmax(1) == theirs.argmax(1)).double().mean()
    return Parity(len(x), float((ours - theirs).abs().max()), float(ours.abs().max()), float(same))
