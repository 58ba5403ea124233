"""Wide residual networks (Zagoruyko & Komodakis 2016), with ReLU or, as in Gowal et al. 2020, with SiLU.

State-dict names are the usual public ones (`block1.layer.0.bn1`, `convShortcut`, `fc`).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models.spec import Classifier, Shape

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}
_PADDINGS = ("symmetric", "bottom-right")


class WideBlock(nn.Module):
    """Pre-activation block of two 3x3 convolutions; the projection sees the activated input."""

    def __init__(self, in_channels: int, channels: int, stride: int, activation: str, padding: str) -> None:
        super().__init__()
        one_sided = stride == 2 and padding == "bottom-right"
        act = _ACTIVATIONS[activation]
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = act()
        self.pad: nn.Module = nn.ZeroPad2d((0, 1, 0, 1)) if one_sided else nn.Identity()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=0 if one_sided else 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = act()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convShortcut: nn.Module | None = None
        if in_channels != channels:
            self.convShortcut = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features."""
        activated = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(self.pad(activated)))))
        result: Tensor = out + (x if self.convShortcut is None else self.convShortcut(activated))
        return result


class WideStage(nn.Module):
    """Blocks of one resolution, held as `layer`."""

    def __init__(
        self, blocks: int, in_channels: int, channels: int, stride: int, activation: str, padding: str
    ) -> None:
        super().__init__()
        first = WideBlock(in_channels, channels, stride, activation, padding)
        others = (WideBlock(channels, channels, 1, activation, padding) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *others)

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features."""
        out: Tensor = self.layer(x)
        return out


class WideResNet(Classifier):
    """WideResNet-depth-width.

    Args:
        num_classes: Number of logits.
        shape: Images (C, H, W).
        depth: Number of layers, 6n + 4.
        width: Multiple of the 16, 32, 64 channels of the three stages.
        activation: "relu" or "silu".
        padding: Of the stride-2 convolutions: "symmetric" (one pixel on each side) or "bottom-right", the form of
            the networks released by Gowal et al. (2020) and those who followed them.

    Raises:
        ModelError: An argument is outside these ranges.
    """

    def __init__(
        self, num_classes: int, shape: Shape, *, depth: int, width: int, activation: str, padding: str
    ) -> None:
        super().__init__()
        _check(depth, width, activation, padding)
        blocks, channels = (depth - 4) // 6, [16, 16 * width, 32 * width, 64 * width]
        self.conv1 = nn.Conv2d(shape[0], channels[0], 3, padding=1, bias=False)
        self.block1 = WideStage(blocks, channels[0], channels[1], 1, activation, padding)
        self.block2 = WideStage(blocks, channels[1], channels[2], 2, activation, padding)
        self.block3 = WideStage(blocks, channels[2], channels[3], 2, activation, padding)
        self.bn1 = nn.BatchNorm2d(channels[3])
        self.relu = _ACTIVATIONS[activation]()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels[3], num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], [B, C, H, W], to logits [B, classes]."""
        out = self.block3(self.block2(self.block1(self.conv1(self.normalize(x)))))
        logits: Tensor = self.fc(self.flatten(self.pool(self.relu(self.bn1(out)))))
        return logits


def _check(depth: int, width: int, activation: str, padding: str) -> None:
    if isinstance(depth, bool) or not isinstance(depth, int) or not 10 <= depth <= 1000 or (depth - 4) % 6:
        raise ModelError(f"depth of a WideResNet is 6n + 4 from 10 to 1000, not {depth!r}")
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= 64:
        raise ModelError(f"width of a WideResNet is an integer from 1 to 64, not {width!r}")
    if activation not in tuple(_ACTIVATIONS):
        raise ModelError(f"activation must be one of {', '.join(_ACTIVATIONS)}, not {activation!r}")
    if padding not in _PADDINGS:
        raise ModelError(f"padding must be one of {', '.join(_PADDINGS)}, not {padding!r}")


def wide_resnet(
    num_classes: int,
    shape: Shape,
    *,
    depth: int = 28,
    width: int = 10,
    activation: str = "relu",
    padding: str = "symmetric",
) -> WideResNet:
    """Return a WideResNet of any depth and width; see `WideResNet`."""
    return WideResNet(num_classes, shape, depth=depth, width=width, activation=activation, padding=padding)


def wide_resnet_of(
    depth: int, width: int, activation: str = "relu", padding: str = "symmetric"
) -> Callable[..., WideResNet]:
    """Return a builder of WideResNet-depth-width whose activation and padding can still be chosen."""

    def build(num_classes: int, shape: Shape, *, activation: str = activation, padding: str = padding) -> WideResNet:
        return WideResNet(num_classes, shape, depth=depth, width=width, activation=activation, padding=padding)

    return build
