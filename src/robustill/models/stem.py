"""A strided convolution of few channels as one of stride 1 over more: the same sums, in a shape that hardware likes.

Convolution kernels work on blocks of 16 or so channels, so that one of a grey image is mostly spent on padding, and its
input gradient, which every attack needs, still more: with 4x4 kernels of stride 2 on 28x28 images it took two thirds
of what both convolutions of `cnn_small` need for theirs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.models.rectified import conv_relu

_FEW = 4


class Stem(nn.Module):
    """Moves each `stride x stride` block of pixels into channels, and convolves with a kernel that many times smaller.

    Args:
        layer: The convolution; `load` gives this one its weights.
        rectified: A ReLU follows.
    """

    def __init__(self, layer: nn.Conv2d, *, rectified: bool = False) -> None:
        super().__init__()
        self.rectified = rectified
        self.stride, self.kernel, self.padding = layer.stride[0], layer.kernel_size[0], int(layer.padding[0])
        # The kernel in blocks, the last of them filled up with zeros.
        self.blocks = -(-self.kernel // self.stride)
        shape = layer.out_channels, layer.in_channels * self.stride**2, self.blocks, self.blocks
        self.weight = nn.Parameter(layer.weight.new_zeros(shape))
        self.bias = nn.Parameter(layer.weight.new_zeros(layer.out_channels))
        self._maps: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def load(self, weight: Tensor, bias: Tensor | float) -> None:
        """Take over the weight `[O, C, k, k]` and bias of the convolution."""
        s, n, out = self.stride, self.blocks, len(weight)
        whole = F.pad(weight, (0, s * n - self.kernel) * 2).reshape(out, -1, n, s, n, s)
        self.weight.copy_(whole.permute(0, 1, 3, 5, 2, 4).reshape(out, -1, n, n))
        self.bias.copy_(torch.as_tensor(bias, dtype=weight.dtype, device=weight.device).expand(out))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[B, C, H, W]` to what the convolution gives, rectified if that was asked for."""
        key = (*x.shape[1:], x.device)
        if key not in self._maps:
            # Made in inference mode, they could not serve a gradient later.
            with torch.inference_mode(False):
                self._maps[key] = self._map(x)
        there, back = self._maps[key]
        rows, columns = (self._count(size) for size in x.shape[2:])
        moved: Tensor = _Gather.apply(x.flatten(1), there, back)  # type: ignore[no-untyped-call]
        blocks = moved.to(self.weight.dtype).view(len(x), rows, columns, -1).permute(0, 3, 1, 2)
        return (conv_relu if self.rectified else F.conv2d)(blocks, self.weight, self.bias)

    def _count(self, size: int) -> int:
        """Return how many blocks a side of `size` pixels is read in."""
        return (size + 2 * self.padding - self.kernel) // self.stride + self.blocks

    def _map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return where each place of the blocks `[rows, columns, C s s]` comes from, and where each pixel went."""
        channels, height, width = x.shape[1:]
        pixels, s, p = channels * height * width, self.stride, self.padding
        # One beyond the pixels stands for zero.
        after = [self._count(size) * s - size - p for size in (width, height)]
        number = torch.arange(pixels, device=x.device).view(channels, height, width)
        padded = F.pad(number, (p, after[0], p, after[1]), value=pixels)
        there = padded.view(channels, -1, s, padded.shape[2] // s, s).permute(1, 3, 0, 2, 4).flatten()
        back = torch.full((pixels + 1,), len(there), device=x.device)
        back[there] = torch.arange(len(there), device=x.device)
        return there, back[:-1]


class _Gather(torch.autograd.Function):
    """Columns of `[B, n]` in another order, with zeros among them; each column is taken once at most."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        ctx.full = len(there)
        return torch.cat([x, x.new_zeros(len(x), 1)], 1).index_select(1, there)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        if bool((back == ctx.full).any()):  # a pixel that is not read
            grad = torch.cat([grad, grad.new_zeros(len(grad), 1)], 1)
        return grad.index_select(1, back), None, None


def is_stem(layer: nn.Module) -> bool:
    """Return whether `layer` is a convolution that `Stem` computes faster."""
    if type(layer) is not nn.Conv2d or layer.in_channels > _FEW or layer.groups > 1 or layer.padding_mode != "zeros":
        return False
    square = len(set(layer.stride)) == len(set(layer.kernel_size)) == 1 and layer.dilation == (1, 1)
    numbers = not isinstance(layer.padding, str) and len(set(layer.padding)) == 1
    return square and numbers and 1 < layer.stride[0] <= layer.kernel_size[0]
