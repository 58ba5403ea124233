"""Linear forms carried back through a network to its inputs (CROWN: Zhang et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from robustill.certification.forms import Forms
from robustill.certification.interval import Interval
from robustill.certification.op import Op
from robustill.certification.region import box_lower

Memory = dict[int, tuple[list[Forms], Tensor | None]]
"""What operations made of forms that all groups share, by their index."""


def carry_back(
    ops: Sequence[Op],
    start: int,
    forms: Forms,
    relaxed: Mapping[int, Any],
    boxes: Sequence[Interval],
    memory: Memory | None = None,
) -> tuple[Forms | None, Tensor]:
    """Bound forms over operation `start` from below by forms over the input.

    Args:
        ops: The operations of the network.
        start: Where the forms are.
        forms: The forms.
        relaxed: Relaxation of each nonlinear operation. Where there is none, its box ends the way.
        boxes: Boxes of the operations' outputs.
        memory: Kept between calls that start with the same shared forms, for other groups.

    Returns:
        Forms over the input (None if no way leads there) and what is added to each, `[N, D]`.
    """
    pending = {start: forms}
    constants = forms.a.new_zeros(1, 1)
    shared = forms.a.new_zeros(1, forms.a.shape[1])
    for index in range(start, 0, -1):
        here, op = pending.pop(index, None), ops[index]
        if here is None:
            continue
        if not op.linear and index not in relaxed:
            constants = constants + box_lower(here, boxes[index])
            continue
        below, added = _step(op, here, relaxed.get(index), index, {} if memory is None else memory)
        if added is not None and below[0].pick is not None:
            shared = shared + added
        elif added is not None:
            constants = constants + added
        for source, each in zip(op.inputs, below, strict=True):
            known = pending.get(source)
            pending[source] = each if known is None else known.merged(each, *_image(ops[source]))
    if forms.pick is not None:
        constants = constants + shared[0][forms.pick]
    return pending.get(0), constants.expand(-1, forms.a.shape[1]) if forms.pick is None else constants


def _step(op: Op, forms: Forms, relaxed: Any, index: int, memory: Memory) -> tuple[list[Forms], Tensor | None]:
    if index in memory:
        below, added = memory[index]
        return [forms.placed(each) for each in below], added
    below, added = op.back(forms, relaxed)
    if all(each.pick is not None for each in below):
        memory[index] = below, added
    return below, added


def _image(op: Op) -> tuple[int, int]:
    return op.image if len(op.shape) == 3 else (0, 0)
