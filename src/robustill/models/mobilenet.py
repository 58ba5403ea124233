"""MobileNetV2 (Sandler et al. 2018) in its CIFAR form: a stride-1 stem and a stride-1 second stage, plain ReLU.

State-dict names are the usual public ones (`layers.0.conv1`, `shortcut.0`, `linear`).
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.models.spec import Classifier, Shape

# Expansion, output channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a (projected) identity where the stride is 1."""

    def __init__(self, in_channels: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module | None = nn.Sequential() if stride == 1 else None
        if stride == 1 and in_channels != channels:
            projection = nn.Conv2d(in_channels, channels, 1, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map features to features."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        result: Tensor = self.bn3(self.conv3(out))
        return result if self.shortcut is None else result + self.shortcut(x)


class MobileNetV2(Classifier):
    """MobileNetV2 with 2,296,922 parameters for 10 classes."""

    def __init__(self, num_classes: int, shape: Shape) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu1 = nn.ReLU()
        blocks: list[nn.Module] = []
        in_channels = 32
        for expansion, channels, count, stride in _STAGES:
            for index in range(count):
                blocks.append(InvertedResidual(in_channels, channels, expansion, 1 if index else stride))
                in_channels = channels
        self.layers = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(in_channels, 1280, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1280)
        self.relu2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(1280, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], [B, C, H, W], to logits [B, classes]."""
        out = self.layers(self.relu1(self.bn1(self.conv1(self.normalize(x)))))
        out = self.relu2(self.bn2(self.conv2(out)))
        logits: Tensor = self.linear(self.flatten(self.pool(out)))
        return logits


def mobilenet_v2(num_classes: int, shape: Shape) -> MobileNetV2:
    """Return MobileNetV2 in its CIFAR form."""
    return MobileNetV2(num_classes, shape)
