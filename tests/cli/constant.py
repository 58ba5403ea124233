"""References that have not learned: each sees one class everywhere, whatever the attack."""

from pathlib import Path

import numpy as np
import torch

from robustill.models import build_model, save_model


def constant(path: Path, label: int) -> Path:
    """Save a network for digits that always answers `label`."""
    net = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    last = [module for module in net.modules() if isinstance(module, torch.nn.Linear)][-1]
    torch.nn.init.constant_(last.weight, 1e-6)
    torch.nn.init.zeros_(last.bias)
    last.bias.data[label] = 9.0
    save_model(net, path)
    return path


def two_classes(path: Path) -> Path:
    """Save black images of the classes 0 and 9 of ten."""
    images, labels = np.zeros((12, 8, 8, 1), np.uint8), np.arange(12) % 2 * 9
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path
