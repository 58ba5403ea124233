"""Shapes of the Square attack: windows, and the bumps that its L2 form moves around."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def windows(draws: Tensor, side: Tensor, x: Tensor) -> Tensor:
    """Return a square of ones per image, at random places; draws `[B, 2]`, side `[B]` -> `[B, 1, H, W]` like `x`."""
    rows, columns = window_sides(draws, side, x)
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def window_sides(draws: Tensor, side: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows `[B, H]` and the columns `[B, W]` of `windows` as zeros and ones."""
    (top, left), (height, width) = _corners(draws, side, x), x.shape[2:]
    row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    rows = (row >= top[:, None]) & (row < (top + side)[:, None])
    columns = (column >= left[:, None]) & (column < (left + side)[:, None])
    return rows.to(x.dtype), columns.to(x.dtype)


def bump(draws: Tensor, side: Tensor, turned: Tensor, x: Tensor) -> Tensor:
    """Return the pattern of unit norm in the window that `windows` gives for the same arguments, `[B, 1, H, W]`."""
    out = torch.zeros(len(x), 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    top, left = _corners(draws, side, x)
    for size in sorted(set(side.tolist())):
        chosen = (side == size).nonzero().flatten()
        shape = pattern(size).to(x)
        shapes = torch.where(turned[chosen, None, None], shape.T, shape)
        step = torch.arange(size, device=x.device)
        rows, columns = top[chosen, None] + step, left[chosen, None] + step
        out[chosen[:, None, None], 0, rows[:, :, None], columns[:, None, :]] = shapes
    return out


@cache
def pattern(side: int) -> Tensor:
    """Return the published pattern `[side, side]`: two opposite pyramids of rings, of norm 1."""
    upper = side // 2
    whole = torch.cat([_pyramid(upper, side), -_pyramid(side - upper, side)])
    return whole.div(whole.norm().clamp_min(1e-12))


def start_tiles(x: Tensor, draws: Tensor) -> Tensor:
    """Return the start of the L2 form, up to its norm: the image tiled by patterns of random sign."""
    height, width = x.shape[2:]
    side = max(min(height, width) // 5, 1)
    delta = torch.zeros_like(x)
    place = 0
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            signs = torch.where(draws[:, place : place + x.shape[1]] < 0.5, -1.0, 1.0).to(x)
            shape = pattern(side).to(x)
            turned = (draws[:, place] * 2 % 1 < 0.5)[:, None, None]
            shapes = torch.where(turned, shape.T, shape)[:, None]
            delta[:, :, top : top + side, left : left + side] = shapes * signs[:, :, None, None]
            place += x.shape[1]
    return delta


def _pyramid(height: int, width: int) -> Tensor:
    """Return rings around the middle that weigh 1, 1/4, 1/9, ... and add up inwards; norm 1, empty for height 0."""
    out = torch.zeros(height, width)
    top, left = height // 2, width // 2
    for ring in range(max(height // 2 + 1, width // 2 + 1)):
        rows = slice(max(top - ring, 0), min(top + ring + 1, height))
        columns = slice(max(left - ring, 0), min(left + ring + 1, width))
        out[rows, columns] += 1 / (ring + 1) ** 2
    return out.div(out.norm().clamp_min(1e-12))


def _corners(draws: Tensor, side: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    room = torch.stack([x.shape[2] - side, x.shape[3] - side], 1)
    corner = (draws * (room + 1)).long()
    return corner[:, 0], corner[:, 1]
