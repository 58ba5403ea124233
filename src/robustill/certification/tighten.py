"""Tighter boxes before the activations: CROWN on the neurons whose box leaves something open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from robustill.certification.forms import Forms, Window
from robustill.certification.interval import Interval, intersect
from robustill.certification.linear_ops import Affine, Conv, Pad
from robustill.certification.nonlinear import Activation
from robustill.certification.op import Op
from robustill.certification.routing import Sum

# Beside the coefficients there are their absolute values and two intermediate results.
_COPIES = 4


def row_bytes(ops: Sequence[Op], start: int, like: Tensor) -> int:
    """Return what carrying one form from operation `start` to the input takes at its largest."""
    widest, spans = 0, {start: (1, 1) if len(ops[start].shape) == 3 else None}
    for index in range(start, -1, -1):
        if index not in spans:
            continue
        op, span = ops[index], spans[index]
        size = op.size
        if span is not None:
            size = min(size, op.shape[0] * span[0] * span[1])
        widest = max(widest, size)
        for source in op.inputs:
            spans[source] = _span(op, span)
    return widest * _COPIES * like.element_size()


def _span(op: Op, span: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the window that an operation reads for a window of its output; None: everything."""
    if span is not None and isinstance(op, Conv):
        found = op.window(span)
        return None if found[0] * found[1] >= op.source[-2] * op.source[-1] else found
    return span if isinstance(op, (Activation, Affine, Pad, Sum)) else None


def tightened(box: Interval, flags: Tensor, per_row: int, chunk: int, lower: Callable[[Forms], Tensor]) -> Interval:
    """Return `box` `[B, ...]` with tighter bounds where `flags` says so.

    Args:
        box: Bounds of the outputs of an operation.
        flags: Which of them to tighten.
        per_row: Bytes that each form takes.
        chunk: Bytes that may be used at once.
        lower: Gives a lower bound of forms over that operation, `[N, D]`.
    """
    places, lows, highs = [], [], []
    for forms, place in _groups(box.lower, flags, max(1, chunk // (2 * per_row))):
        low = lower(forms)
        half = low.shape[1] // 2
        wanted = flags.flatten()[place]
        places.append(place[wanted])
        lows.append(low[:, :half][wanted])
        highs.append(-low[:, half:][wanted])
    if not places:
        return box
    place = torch.cat(places)
    found = [
        end.flatten().index_put((place,), torch.cat(values)).reshape(end.shape)
        for end, values in zip(box, (lows, highs), strict=True)
    ]
    return intersect(box, Interval(*found))


def _groups(like: Tensor, flags: Tensor, most: int) -> Iterator[tuple[Forms, Tensor]]:
    """Yield forms for the flagged neurons, each with both signs, and where they lie in `flags.flatten()`, `[N, K]`.

    The neurons of one place of an image are a group. Groups come in the order of their number of neurons, so that
    those side by side need equally many forms; some of these are of neurons without a flag.
    """
    shape, image = flags.shape[1:], flags.dim() == 4
    area = shape[1:].numel() if image else 1
    table = flags.flatten(2).transpose(1, 2).reshape(-1, shape[0]) if image else flags.flatten(1)
    channels = table.shape[1]
    counts, order = table.sum(1).sort(descending=True, stable=True)
    sizes = counts[counts > 0].tolist()
    eye = torch.eye(channels, dtype=like.dtype, device=like.device)
    eye = torch.cat([eye, -eye]).reshape(1, 2 * channels, *((channels, 1, 1) if image else shape))
    start = 0
    while start < len(sizes):
        group = order[start : min(len(sizes), start + max(1, most // sizes[start]))]
        example, spot = group // area, group % area
        window = Window(spot // shape[2], spot % shape[2], (shape[1], shape[2])) if image else None
        for pick in torch.split(table[group].byte().topk(sizes[start], dim=1).indices, most, 1):
            both = torch.cat([pick, pick + channels], 1)
            place = (example.unsqueeze(1) * channels + pick) * area + spot.unsqueeze(1)
            yield Forms(eye, example, window, both), place
        start += len(group)
