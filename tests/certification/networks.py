"""Small networks of every kind, and what is found by looking for the worst image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.models import build_model
from tests.models.stirred import stirred

Network = Callable[[Tensor], Tensor]


def images(count: int = 3, shape: tuple[int, ...] = (2, 6, 6), seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def head(activation: nn.Module, channels: int = 4, side: int = 6) -> list[nn.Module]:
    return [activation, nn.Flatten(), nn.Linear(channels * side * side, 7), nn.ReLU(), nn.Linear(7, 3)]


def convolutional(activation: nn.Module, *middle: nn.Module, channels: int = 4, side: int = 6) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *middle, *head(activation, channels, side))


class Functional(nn.Module):
    """A network that is written with functions, methods and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, (3, 1), padding=(1, 0), bias=False)
        self.norm, self.head = nn.BatchNorm2d(3), nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        x = (2 * x - 0.5) / 0.7
        out = self.one(x)
        out = F.relu(out) * self.scale - out.tanh()
        out = torch.cat([F.leaky_relu(self.norm(self.two(out)), 0.2), 1 - out], dim=1)
        out = out[:, :, 1:, ::2]
        return self.head(out.sigmoid().mean((2, 3)).view(x.size(0), -1))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """A block whose branches have windows of different sizes, then one that halves the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.short, self.last = nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 2)
        self.head = nn.Linear(4 * 2 * 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = x + self.one(x).relu()
        x = (self.two(x) + self.short(x)).relu()
        return self.head(self.last(x).relu().flatten(1))  # type: ignore[no-any-return]


def of_every_kind() -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield a name, a network in eval mode and images, all float64."""
    torch.manual_seed(3)
    smooth = (nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Sigmoid(), nn.Tanh(), nn.Softplus(), nn.ReLU6(), nn.Hardtanh())
    kinds: dict[str, nn.Module] = {
        str(each).lower(): convolutional(each) for each in (nn.ReLU(), nn.LeakyReLU(0.3), *smooth)
    }
    kinds["stride"] = convolutional(nn.ReLU(), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), channels=6, side=3)
    kinds["dilation"] = convolutional(nn.ReLU(), nn.ReLU(), nn.Conv2d(4, 4, 2, dilation=3, padding=1, groups=2), side=5)
    kinds["same"] = convolutional(nn.ReLU(), nn.ReLU(), nn.Conv2d(4, 4, 3, padding="same"))
    kinds["two in a row"] = convolutional(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    kinds["norm"] = convolutional(nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    kinds["pad"] = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        *[nn.ReLU(), nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU(), nn.Flatten()],
        *[nn.Linear(4 * 3 * 3, 3)],
    )
    kinds["average"] = convolutional(nn.ReLU(), nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), side=3)
    kinds["adaptive"] = convolutional(nn.ReLU(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), side=1)
    kinds["max"] = convolutional(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, 1, 1), nn.Dropout(), side=3)
    kinds["max, overlapping"] = convolutional(nn.ReLU(), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Identity(), side=3)
    kinds["functional"], kinds["residual"] = Functional(), Residual()
    kinds["flat norm"] = nn.Sequential(
        nn.Flatten(), nn.Linear(72, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.BatchNorm1d(9), nn.Linear(9, 3)
    )
    for name, network in kinds.items():
        yield name, stirred(network).double().eval(), images()


ARCHITECTURES = {
    "cnn_small": {},
    "cnn_wide": {},
    "resnet18": {"width": 2},
    "preact_resnet18": {"width": 2, "final_norm": True},
    "wide_resnet": {"depth": 10, "width": 1},
    "wide_resnet silu": {"depth": 10, "width": 1, "activation": "silu", "padding": "bottom-right"},
    "mobilenet_v2": {},
}


def architecture(name: str, shape: tuple[int, int, int] = (3, 8, 8)) -> nn.Module:
    torch.manual_seed(1)
    means = {"mean": [0.4] * shape[0], "std": [0.5] * shape[0]}
    network = build_model(name.split()[0], num_classes=3, shape=shape, **means, **ARCHITECTURES[name])
    return stirred(network).double().eval()


def seen(value: Network, x: Tensor, eps: float, norm: str = "Linf", steps: int = 10) -> tuple[Tensor, Tensor]:
    """Return the least and greatest `value(x')` `[B, S]` met by sampling and, for each number, by PGD both ways."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        low = high = value(x)
        for index in range(30):
            noise = torch.randn(x.shape, dtype=x.dtype, generator=generator)
            if norm == "Linf":
                delta = eps * (noise.sign() if index % 2 else 2 * torch.rand_like(noise) - 1)
            else:
                delta = eps * noise / noise.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
            found = value((x + delta).clamp(0, 1))
            low, high = torch.minimum(low, found), torch.maximum(high, found)
    attack = PGD(eps=eps, step_size=eps / 4, steps=steps, norm=norm, init="none")  # type: ignore[arg-type]
    for column in range(low.shape[1]):
        for sign in (1, -1):
            x_adv = attack(lambda z, c=column, s=sign: s * value(z)[:, c], x)  # type: ignore[misc]
            with torch.no_grad():
                found = value(x_adv)
            low, high = torch.minimum(low, found), torch.maximum(high, found)
    return low, high
