"""`Bounder`: one network on one batch, bounded once and asked often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustill.certification.check import check_chunk, check_classes, check_request, check_rows, check_temperature
from robustill.certification.crown import Memory, carry_back
from robustill.certification.curves import Logistic, Reciprocal
from robustill.certification.forms import Forms
from robustill.certification.graph import read_graph
from robustill.certification.interval import Interval, at_least, intersect, two_sided
from robustill.certification.nonlinear import Activation, MaxPool
from robustill.certification.pairs import Pairs
from robustill.certification.region import Region
from robustill.certification.softmax import chords, confidence_box, on_logits, tangent
from robustill.certification.tighten import row_bytes, tightened

CHUNK = 16 * 2**20


class Answer(NamedTuple):
    """Linear forms `a . x' + b` that lie below rows @ logits on the region, and a bound from below of the latter.

    Attributes:
        a: `[1 or B, S, ...]`; zero where the method knows no linear forms.
        b: `[1 or B, S]`.
        lower: At least the least value of the form, `[B, S]`.
    """

    a: Tensor
    b: Tensor
    lower: Tensor

    def interval(self) -> Interval:
        """Return the box of rows that were asked together with their negatives, `[B, S / 2]`."""
        return two_sided(self.lower)


class Softmax(NamedTuple):
    """Margins divided by the temperature `[B, T, C]`, bounds of the confidences `[B, T]`, and curves around them."""

    d: Interval
    box: Interval
    below: Reciprocal
    above: Logistic


class Bounder:
    """Bounds of a network for all images near each of a batch; what is known of its inner layers is kept.

    Everything it returns holds for every image in the ball that is also in [0, 1], up to the rounding of the type in
    which it computes. It can be differentiated by the weights; without need of that, use it under `torch.no_grad()`.

    Args:
        model: A network in eval mode that maps images to logits `[B, classes]`.
        x: Images in [0, 1], `[B, ...]`, of the type of the weights.
        eps: Radius of the ball in units of [0, 1].
        method: "ibp" (intervals), "crown-ibp" (linear bounds from the logits, intervals for the inner layers) or
            "crown" (linear bounds for all layers). Each contains the next, which takes longer.
        norm: "Linf" or "L2".
        clip: Images stay in [0, 1].
        chunk: Bytes that one backward pass may take, about.

    Raises:
        InputError: Images outside [0, 1], an impossible radius, an unknown method or norm.
        ModelError: The network is in train mode or has an operation without known bounds.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    >>> bounder = Bounder(model, torch.full((3, 1, 2, 2), 0.5), 0.1)
    >>> bounder.logits().lower.shape, bounder.logits(torch.tensor([[1.0, -1.0]])).upper.shape
    (torch.Size([3, 2]), torch.Size([3, 1]))
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        eps: float,
        method: str = "crown",
        norm: str = "Linf",
        *,
        clip: bool = True,
        chunk: int = CHUNK,
    ) -> None:
        self.eps = check_request(model, x, eps, method, norm)
        self.x, self.method, self.norm, self.clip = x, method, norm, clip
        self.graph, self.region = read_graph(model, x), Region(x, self.eps, norm, clip)
        self._chunk = check_chunk(chunk)
        self._boxes, self._relaxed = [self.region.box], dict[int, Any]()
        self._bound_layers()

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.graph.classes

    def logits(self, rows: Tensor | None = None) -> Interval:
        """Return bounds of `rows @ logits`, `[B, S]`.

        Args:
            rows: `[S, C]`, or `[B, S, C]` for other rows at each image; None: the logits themselves.

        Raises:
            InputError: Rows of another shape.
        """
        given = rows
        rows = check_rows(rows, len(self.x), self.classes, self.x)
        last = self._boxes[-1]
        if self.method == "ibp" and given is None and self.region.exact:
            return last.known()
        box = self._rows(rows)
        return intersect(box, last) if given is None else box

    def outputs(self, rows: Tensor | None = None) -> Interval:
        """Return bounds of what the network itself returns, or of `rows` on it: `logits`, but after a final softmax.

        Raises:
            InputError: Rows of another shape.
        """
        if self.graph.head is None:
            return self.logits(rows)
        box = self.confidences()
        if self.graph.head == "log_softmax":
            # The logarithm of a tiny confidence, which may be 0 as a float, comes from the margins.
            d = self.margins()
            box = intersect(
                Interval(*(end.log() for end in box)), Interval(-d.upper.logsumexp(2), -d.lower.logsumexp(2))
            )
        if rows is None:
            return box
        rows = check_rows(rows, len(self.x), self.classes, self.x)
        up, down = (torch.where(keep, rows, 0) for keep in (rows > 0, rows < 0))
        lower, upper = (end.unsqueeze(2) for end in box)
        return Interval((up @ lower + down @ upper).squeeze(2), (up @ upper + down @ lower).squeeze(2))

    def margins(self, classes: Tensor | Sequence[int] | None = None) -> Interval:
        """Return bounds of `z_j - z_c` for all classes j, `[B, T, C]`: T is all classes c, or 1 for one per image.

        Raises:
            InputError: Labels out of range.
        """
        pairs = Pairs(check_classes(classes, len(self.x), self.classes, self.x), self.classes, self.x)
        return pairs.table(self._rows(pairs.rows))

    def confidences(self, classes: Tensor | Sequence[int] | None = None, temperature: float = 1.0) -> Interval:
        """Return bounds of the softmax of `logits / temperature`, `[B, C]`, or `[B, 1]` of one class per image.

        Args:
            classes: One class per image, `[B]`; None: all.
            temperature: A positive number.

        Raises:
            InputError: Classes or temperature outside their range.
        """
        temperature = check_temperature(temperature)
        pairs = Pairs(check_classes(classes, len(self.x), self.classes, self.x), self.classes, self.x)
        return self.softmax(pairs, pairs.table(self._rows(pairs.rows)), temperature).box

    def softmax(self, pairs: Pairs, margins: Interval, temperature: float) -> Softmax:
        """Return what is known of the confidences once the margins `[B, T, C]` are bounded."""
        d = Interval(margins.lower / temperature, margins.upper / temperature)
        below, above = chords(d, pairs.target), tangent(d, pairs.target)
        rows = [on_logits(each, pairs.target, temperature) for each in (-below.rows, above.rows)]
        answer = self._all(torch.cat(rows, 1))
        size = d.lower.shape[1]
        reciprocal = Reciprocal.of(below, answer.a[:, :size], answer.b[:, :size], self.region)
        logistic = Logistic.of(above, answer.a[:, size:], answer.b[:, size:], self.region)
        # From the least value of either curve, which may know more than the box of the margins.
        curves = Interval((-below.scale).exp() / reciprocal.box.upper, logistic.box.upper.sigmoid())
        return Softmax(d, intersect(confidence_box(d), curves).known(0.0, 1.0), reciprocal, logistic)

    def _rows(self, rows: Tensor) -> Interval:
        found = [self.ask(torch.cat([part, -part], 1)).interval() for part in self.parts(rows)]
        box = Interval(*(torch.cat(ends, 1) for ends in zip(*found, strict=True)))
        return intersect(box, box)

    def _all(self, rows: Tensor) -> Answer:
        found = [self.ask(part) for part in self.parts(rows)]
        return found[0] if len(found) == 1 else Answer(*(torch.cat(each, 1) for each in zip(*found, strict=True)))

    def ask(self, rows: Tensor) -> Answer:
        """Return linear forms below `rows @ logits` and their least values, for checked rows `[1 or B, S, C]`."""
        end = len(self.graph.ops) - 1
        below, constant = carry_back(self.graph.ops, end, Forms(rows), {}, self._boxes)
        lower = constant if below is None else constant + self.region.lower(below)
        if self._relaxed:
            below, constant = carry_back(self.graph.ops, end, Forms(rows), self._relaxed, self._boxes)
            relaxed = constant if below is None else constant + self.region.lower(below)
            lower = torch.maximum(at_least(lower), at_least(relaxed))
        a = self.x.new_zeros(1, rows.shape[1], *self.x.shape[1:]) if below is None else below.a
        return Answer(a, constant, lower.expand(len(self.x), -1))

    def parts(self, rows: Tensor, copies: int = 2) -> Iterator[Tensor]:
        """Split rows `[., S, C]` so that `copies` of each part fit into the memory that may be used."""
        each = row_bytes(self.graph.ops, len(self.graph.ops) - 1, self.x) * max(1, len(self.x))
        return iter(torch.split(rows, max(1, self._chunk // (copies * each)), 1))

    def _bound_layers(self) -> None:
        """Fill in the boxes of all operations and, but for intervals, the relaxations of the nonlinear ones."""
        ops = self.graph.ops
        # Of the input and each operation: its box is all it can be; each of its ranges is; it is affine in the input.
        whole, exact, affine = [self.region.exact], [self.region.exact], [True]
        for index, op in enumerate(ops[1:], 1):
            box = op.interval(*(self._boxes[source] for source in op.inputs))
            if not op.linear and self.method != "ibp":
                self._relaxed[index] = op.relax(*(self._boxes[source] for source in op.inputs))
            alone = len(op.inputs) == 1
            whole.append(alone and op.separate and whole[op.inputs[0]])
            exact.append(alone and (exact if op.separate else whole)[op.inputs[0]])
            affine.append(op.linear and all(affine[source] for source in op.inputs))
            if not exact[-1] and (self.method == "crown" or (affine[-1] and not self.region.exact)):
                box = self._tightened(index, box)
            self._boxes.append(box)

    def _tightened(self, index: int, box: Interval) -> Interval:
        readers = [self.graph.ops[reader] for reader in self.graph.uses[index]]
        flags = [op.uncertain(box) for op in readers if isinstance(op, (Activation, MaxPool))]
        if not flags:
            return box
        wanted = torch.stack(flags).any(0)
        each = row_bytes(self.graph.ops, index, self.x)
        memory: Memory = {}

        def lower(forms: Forms) -> Tensor:
            below, constant = carry_back(self.graph.ops, index, forms, self._relaxed, self._boxes, memory)
            return constant if below is None else constant + self.region.lower(below)

        return tightened(box, wanted, each, self._chunk, lower)
