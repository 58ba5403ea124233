"""The two small plain networks of Wong & Kolter (2018), for MNIST-sized images and for certification."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models.spec import Classifier, Shape

_Conv = tuple[int, int, int]  # output channels, kernel side, stride; the padding is always 1


class ConvNet(Classifier):
    """Convolutions, then linear layers, with a ReLU after each but the last, as one `layers` sequence.

    Args:
        num_classes: Number of logits.
        shape: Images (C, H, W); fixes the size of the first linear layer.
        convolutions: Output channels, kernel side and stride of each convolution (padding 1).
        hidden: Widths of the hidden linear layers.

    Raises:
        ModelError: The image is too small for the convolutions.
    """

    def __init__(self, num_classes: int, shape: Shape, *, convolutions: Sequence[_Conv], hidden: Sequence[int]) -> None:
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = []
        for out, kernel, stride in convolutions:
            layers += [nn.Conv2d(channels, out, kernel, stride=stride, padding=1), nn.ReLU()]
            height, width = ((side + 2 - kernel) // stride + 1 for side in (height, width))
            channels = out
        if min(height, width) < 1:
            raise ModelError(
                f"images of {shape[1]}x{shape[2]} pixels are too small for this network",
                "choose a smaller architecture, or larger images",
            )
        sizes = [channels * height * width, *hidden]
        layers.append(nn.Flatten())
        for size, next_size in pairwise(sizes):
            layers += [nn.Linear(size, next_size), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], [B, C, H, W], to logits [B, classes]."""
        logits: Tensor = self.layers(self.normalize(x))
        return logits


def cnn_small(num_classes: int, shape: Shape) -> ConvNet:
    """Return the two-convolution network (16 and 32 channels, 100 hidden units)."""
    return ConvNet(num_classes, shape, convolutions=[(16, 4, 2), (32, 4, 2)], hidden=[100])


def cnn_wide(num_classes: int, shape: Shape) -> ConvNet:
    """Return the four-convolution network (32, 32, 64, 64 channels, two times 512 hidden units)."""
    convolutions = [(32, 3, 1), (32, 4, 2), (64, 3, 1), (64, 4, 2)]
    return ConvNet(num_classes, shape, convolutions=convolutions, hidden=[512, 512])
