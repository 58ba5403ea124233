"""IBP, CROWN-IBP and CROWN with one dense matrix per layer and one example at a time, in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# One step of a network: a module and the steps it reads (step 0 is the image); None adds two steps.
Step = tuple[nn.Module | None, tuple[int, ...]]
Matrix = tuple[Tensor, Tensor]


def matrix(module: nn.Module, shape: tuple[int, ...]) -> tuple[Matrix, tuple[int, ...]]:
    """Write an affine module as `W v + b` by what it does to the unit vectors."""
    size = torch.Size(shape).numel()
    zero = module(torch.zeros(1, *shape, dtype=torch.float64))
    columns = module(torch.eye(size, dtype=torch.float64).reshape(size, *shape)) - zero
    return (columns.reshape(size, -1).t(), zero.flatten()), tuple(zero.shape[1:])


class Dense:
    """The boxes and linear bounds of a network around one image."""

    def __init__(self, steps: list[Step], x: Tensor, eps: float, method: str) -> None:
        self.steps, self.method = steps, method
        self.low: list[Tensor] = [(x.double() - eps).clamp(0, 1).flatten()]
        self.high: list[Tensor] = [(x.double() + eps).clamp(0, 1).flatten()]
        self.layers: list[Matrix | None] = [None]
        shapes = [tuple(x.shape)]
        for index, (module, sources) in enumerate(steps[1:], 1):
            layer, shape = None, shapes[sources[0]]
            if module is not None and not isinstance(module, nn.ReLU):
                layer, shape = matrix(module, shape)
            self.layers.append(layer)
            shapes.append(shape)
            low, high = self.interval(index)
            before_relu = any(isinstance(m, nn.ReLU) and index in s for m, s in steps[1:])
            if method == "crown" and before_relu:
                low, high = self.tighter(index, low, high)
            self.low.append(low)
            self.high.append(high)

    def interval(self, index: int) -> tuple[Tensor, Tensor]:
        module, sources = self.steps[index]
        low, high = self.low[sources[0]], self.high[sources[0]]
        if module is None:
            return low + self.low[sources[1]], high + self.high[sources[1]]
        if isinstance(module, nn.ReLU):
            return low.relu(), high.relu()
        w, b = self.layers[index]  # type: ignore[misc]
        up, down = w.clamp(min=0), w.clamp(max=0)
        return up @ low + down @ high + b, up @ high + down @ low + b

    def tighter(self, index: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        open_ = (low < 0) & (high > 0)
        rows = torch.eye(len(low), dtype=torch.float64)[open_]
        low, high = low.clone(), high.clone()
        low[open_] = torch.maximum(low[open_], self.lower(index, rows))
        high[open_] = torch.minimum(high[open_], -self.lower(index, -rows))
        return low, high

    def lower(self, start: int, rows: Tensor, relax: bool = True) -> Tensor:
        """Return lower bounds of rows over step `start`, ReLUs replaced by lines, or by their boxes."""
        forms = {start: rows}
        total = torch.zeros(len(rows), dtype=torch.float64)
        for index in range(start, 0, -1):
            if index not in forms:
                continue
            a = forms.pop(index)
            module, sources = self.steps[index]
            if module is None:
                parts = [a, a]
            elif isinstance(module, nn.ReLU) and not relax:
                total = total + a.clamp(min=0) @ self.low[index] + a.clamp(max=0) @ self.high[index]
                continue
            elif isinstance(module, nn.ReLU):
                part, added = self.relu(a, self.low[sources[0]], self.high[sources[0]])
                parts, total = [part], total + added
            else:
                w, b = self.layers[index]  # type: ignore[misc]
                parts, total = [a @ w], total + a @ b
            for source, part in zip(sources, parts, strict=True):
                forms[source] = forms[source] + part if source in forms else part
        if 0 in forms:
            total = total + forms[0].clamp(min=0) @ self.low[0] + forms[0].clamp(max=0) @ self.high[0]
        return total

    @staticmethod
    def relu(a: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        out, added = torch.zeros_like(a), torch.zeros(len(a), dtype=a.dtype)
        for n in range(len(low)):
            lo, up = float(low[n]), float(high[n])
            if lo >= 0:
                out[:, n] = a[:, n]
            elif up > 0:
                chord = up / (up - lo)
                below = 1.0 if up > -lo else 0.0
                positive = a[:, n] > 0
                out[:, n] = torch.where(positive, a[:, n] * below, a[:, n] * chord)
                added = added + torch.where(positive, 0, -a[:, n] * chord * lo)
        return out, added

    def bounds(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds of rows on the logits."""
        end = len(self.steps) - 1
        found = []
        for each in (rows, -rows):
            low = self.lower(end, each, relax=False)
            if self.method != "ibp":
                low = torch.maximum(low, self.lower(end, each))
            found.append(low)
        return found[0], -found[1]


def dense_bounds(steps: list[Step], x: Tensor, eps: float, method: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return bounds `[B, S]` of `rows @ logits` for all images within `eps` of each of `x` and in [0, 1]."""
    with torch.no_grad():
        each = [Dense(steps, image, eps, method).bounds(rows.double()) for image in x]
    return torch.stack([low for low, _ in each]), torch.stack([high for _, high in each])
