"""ResNet and pre-activation ResNet in their CIFAR form: a 3x3 stem, no max pooling, strides 1, 2, 2, 2.

State-dict names are the usual public ones (`layer1.0.conv1`, `shortcut.0`, `linear`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models.spec import Classifier, Shape

_STRIDES = (1, 2, 2, 2)


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions with batch norm, and a (projected) identity."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv3x3(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            projection = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features."""
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu2(out + self.shortcut(x))
        return result


class PreActBlock(nn.Module):
    """Batch norm and ReLU before each of two convolutions; the projection sees the activated input."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = _conv3x3(in_channels, channels, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv2 = _conv3x3(channels, channels, 1)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features."""
        activated = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(activated))))
        result: Tensor = out + (x if self.shortcut is None else self.shortcut(activated))
        return result


def _stages(
    block: type[BasicBlock | PreActBlock], depths: Sequence[int], width: int
) -> tuple[list[nn.Sequential], int]:
    """Return the four stages and the number of channels after them."""
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= 1024:
        raise ModelError(f"width must be an integer from 1 to 1024, not {width!r}")
    stages, in_channels = [], width
    for index, (depth, stride) in enumerate(zip(depths, _STRIDES, strict=True)):
        channels = width * 2**index
        blocks: list[nn.Module] = [block(in_channels, channels, stride)]
        blocks += [block(channels, channels, 1) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*blocks))
        in_channels = channels
    return stages, in_channels


class ResNet(Classifier):
    """Residual network of basic blocks; `depths` blocks in four stages, `width` channels in the first."""

    def __init__(self, num_classes: int, shape: Shape, *, depths: Sequence[int], width: int = 64) -> None:
        super().__init__()
        stages, channels = _stages(BasicBlock, depths, width)
        self.conv1 = _conv3x3(shape[0], width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], [B, C, H, W], to logits [B, classes]."""
        out = self.relu(self.bn1(self.conv1(self.normalize(x))))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        logits: Tensor = self.linear(self.flatten(self.pool(out)))
        return logits


class PreActResNet(Classifier):
    """Pre-activation residual network.

    Args:
        num_classes: Number of logits.
        shape: Images (C, H, W).
        depths: Blocks in each of the four stages.
        width: Channels of the first stage.
        final_norm: Add batch norm and ReLU before the pooling (`bn`). The form with 11,171,146 parameters, the
            default, has none; the released networks of the robust-overfitting study have it.
    """

    def __init__(
        self, num_classes: int, shape: Shape, *, depths: Sequence[int], width: int = 64, final_norm: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(final_norm, bool):
            raise ModelError(f"final_norm must be true or false, not {final_norm!r}")
        stages, channels = _stages(PreActBlock, depths, width)
        self.conv1 = _conv3x3(shape[0], width, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.bn: nn.Module = nn.BatchNorm2d(channels) if final_norm else nn.Identity()
        self.relu: nn.Module = nn.ReLU() if final_norm else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], [B, C, H, W], to logits [B, classes]."""
        out = self.conv1(self.normalize(x))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        logits: Tensor = self.linear(self.flatten(self.pool(self.relu(self.bn(out)))))
        return logits


def resnet18(num_classes: int, shape: Shape, *, width: int = 64) -> ResNet:
    """Return ResNet-18 (11,173,962 parameters for 10 classes)."""
    return ResNet(num_classes, shape, depths=(2, 2, 2, 2), width=width)


def resnet34(num_classes: int, shape: Shape, *, width: int = 64) -> ResNet:
    """Return ResNet-34 (21,282,122 parameters for 10 classes)."""
    return ResNet(num_classes, shape, depths=(3, 4, 6, 3), width=width)


def preact_resnet18(num_classes: int, shape: Shape, *, width: int = 64, final_norm: bool = False) -> PreActResNet:
    """Return PreActResNet-18 (11,171,146 parameters for 10 classes)."""
    return PreActResNet(num_classes, shape, depths=(2, 2, 2, 2), width=width, final_norm=final_norm)
