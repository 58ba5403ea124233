"""Teachers whose margins on the unlearnable and the learnable images are known, and the images."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.diagnostics.learnability import Learnability
from robustill.diagnostics.ranking import Ranking, rank_teachers

EPS = 0.04
GREY = 128
CLASSES = 3


def zoo_data(n: int = 90) -> Data:
    """Return images whose rows 0 to 5 show the class, row 7 whether they are unlearnable; row 6 is grey in all."""
    y = torch.arange(n) % CLASSES
    x = torch.zeros(n, 1, 8, 8)
    for k, label in enumerate(y.tolist()):
        x[k, 0, 2 * label : 2 * label + 2] = 255
        x[k, 0, 6] = GREY
        # A third is unlearnable, some of these more than others.
        x[k, 0, 7] = (200 + k % 50) if k % 9 < 3 else 0
    part = (x.to(torch.uint8), y)
    return Data.from_arrays(part, part, validation=0, name="zoo")


def unlearnable_rows(data: Data) -> Tensor:
    return data.train.images(torch.arange(len(data.train)))[:, 0, 7, 0] > 0


def zoo_set(data: Data, references: int = 2, **about: Any) -> Learnability:
    right = (~unlearnable_rows(data)).expand(references, -1).clone()
    n = len(data.train)
    names = tuple(f"r/{k}" for k in range(references))
    known = {"data": "zoo", "data_digest": data.digest, "eps": EPS, "norm": "Linf", "attack": "fgsm", **about}
    flat = torch.full((n,), -1)
    return Learnability(right, flat, torch.zeros(n), data.train.labels, torch.arange(n), flat + 1, names, known)


class Teacher(nn.Module):
    """Gives the right class the logit `learnable`, or `unlearnable` where row 7 says so; below 0: to the next class.

    Args:
        unlearnable: Margin on images with a bright row 7.
        learnable: Margin on the others.
        fragile: How much row 6, the same in all images, adds to class 0; an attack can use it.
    """

    def __init__(self, unlearnable: float, learnable: float, fragile: float = 0.0) -> None:
        super().__init__()
        self.margins = nn.Parameter(torch.tensor([unlearnable, learnable, fragile]))
        # A plain number would make it another network with each image.
        self._count = SimpleNamespace(asked=0)

    @property
    def asked(self) -> int:
        """How many images it was shown."""
        return int(self._count.asked)

    @asked.setter
    def asked(self, count: int) -> None:
        self._count.asked = count

    def forward(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        unlearnable, learnable, fragile = self.margins
        shown = x[:, 0, :6].reshape(len(x), CLASSES, 2, 8).mean((2, 3))
        mark = x[:, 0, 7].mean(1)[:, None]
        wrong = unlearnable.clamp_max(0).abs() * shown.roll(1, 1)
        logits = mark * (unlearnable.clamp_min(0) * shown + wrong) + (1 - mark) * learnable * shown
        push = fragile * (x[:, 0, 6].mean(1) - GREY / 255)
        return logits + push[:, None] * torch.tensor([1.0, 0.0, 0.0], device=x.device)


class Student(nn.Module):
    """Looks at row 6 only, where no teacher does unless it is fragile."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, -1.0, -2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, 6].mean(1)[:, None] * self.weight


def ranked(teachers: dict[str, nn.Module], data: Data | None = None, **changes: Any) -> Ranking:
    data = data or zoo_data()
    learnability = changes.pop("learnability", None) or zoo_set(data)
    settings: dict[str, Any] = {"progress": False, "resamples": 200, "baselines": False, "surface": "clean"}
    return rank_teachers(teachers, changes.pop("student", Student()), data, learnability, **settings | changes)
