"""Images of which some hide their signal where the student does not look, and that student."""

import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.methods import PGDAT
from robustill.training import TrainResult, train

EPS = 0.05


class Blind(nn.Module):
    """Sees the upper half only."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x[:, :, :8] - 0.5)
        return logits


def blind_data() -> tuple[Data, Tensor]:
    """Return data, and which of its training images cannot be learned, bool `[90]`: 15 of them."""
    generator = torch.Generator().manual_seed(0)

    def part(n: int, unlearnable: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(n) % 3
        x = torch.randint(40, 160, (n, 1, 16, 16), generator=generator)
        for k, label in enumerate(y.tolist()):
            row = 8 if k < unlearnable else 0
            x[k, 0, row : row + 8, 5 * label : 5 * label + 5] += 90
        return x.clamp(0, 255).to(torch.uint8), y

    data = Data.from_arrays(part(120, 18), part(30, 0), validation=0.25)
    return data, data.train.indices < 18


def trained(data: Data, seed: int) -> TrainResult:
    """Train until everything is memorised, long after the peak."""
    return train(
        PGDAT(Blind(seed), attack=PGD(eps=EPS, step_size=EPS / 2, steps=2)),
        data,
        epochs=60,
        batch_size=30,
        seed=seed,
        optimizer={"lr": 0.1, "weight_decay": 0.0},
        schedule={"name": "constant"},
        progress=False,
    )
