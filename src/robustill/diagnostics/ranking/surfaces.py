"""What teachers answer on three surfaces: clean images, those crafted on the student, those crafted on themselves."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import Attack, adversarial_points, eval_mode
from robustill.data import Split
from robustill.data.splits import to_unit
from robustill.errors import ModelError
from robustill.evaluation.store import example_generators
from robustill.evaluation.view import Precision, view_of
from robustill.models import model_digest
from robustill.models.seal import read_sealed, save_sealed
from robustill.progress import bar
from robustill.writing import make_folder

SURFACES = ("clean", "student", "teacher")
_SAVE_EVERY_S = 20.0


@dataclass
class Examples:
    """Chosen images of a split, and how they are attacked.

    Args:
        split: Where the images are.
        index: Positions in the split, int64 `[n]`.
        attack: Maximises the cross-entropy with the label.
        student: The model whose adversarial examples are the `student` surface; None: no such surface.
        batch_size: Images at a time; answers do not depend on it.
        seed: Seed of the random starts.
        precision: Of the folded copies that are attacked.
        about: Names the data in the key of kept answers.
    """

    split: Split
    index: Tensor
    attack: Attack
    student: nn.Module | None
    batch_size: int = 256
    seed: int = 0
    precision: Precision = "float32"
    about: tuple[Any, ...] = ()
    _crafted: dict[int, Tensor] = field(default_factory=dict)

    @property
    def labels(self) -> Tensor:
        """The labels, int64 `[n]`."""
        return self.split.labels[self.index]

    @property
    def surfaces(self) -> tuple[str, ...]:
        """The names of the surfaces, in the order of the answers."""
        return tuple(name for name in SURFACES if name != "student" or self.student is not None)

    def key(self, teacher: nn.Module) -> str:
        """Return a name for a teacher's answers, made of everything that decides them."""
        student = None if self.student is None else model_digest(self.student)
        index = hashlib.sha256(self.index.numpy().tobytes()).hexdigest()
        parts = [model_digest(teacher), student, index, repr(self.attack), self.seed, self.precision, *self.about]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()

    def batches(self, done: int, device: torch.device) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield the place of each batch from example `done` on, its images and labels."""
        for start in range(done, len(self.index), self.batch_size):
            at = self.index[start : start + self.batch_size]
            yield start, to_unit(self.split.images(at).to(device)), self.split.labels[at].to(device)

    def on_student(self, start: int, x: Tensor, y: Tensor, craft: Callable[..., Tensor]) -> Tensor:
        """Return the points crafted on the student, made once for all teachers."""
        if start not in self._crafted:
            self._crafted[start] = craft(start, x, y).cpu()
        return self._crafted[start].to(x.device)


def answers(teacher: nn.Module, examples: Examples, label: str, folder: Path | None, progress: bool) -> Tensor:
    """Return the logits of `teacher`, in eval mode and float32, on each surface: `[S, n, C]`.

    In `folder` they are kept every 20 seconds: a call that was cut off goes on, a finished one is not repeated.
    """
    device, n = next(teacher.parameters()).device, len(examples.index)
    kept = _Kept(None if folder is None else folder / f"{examples.key(teacher)}.safetensors", n)
    if kept.done < n:
        own = _crafting(examples, teacher, "teacher", device)
        student = None if examples.student is None else _crafting(examples, examples.student, "student", device)
        try:
            with bar(label, n, done=kept.done, show=progress) as shown:
                for start, x, y in examples.batches(kept.done, device):
                    points = [x]
                    if student is not None:
                        points.append(examples.on_student(start, x, y, student))
                    points.append(own(start, x, y))
                    kept.add(torch.stack([_ask(teacher, each) for each in points]))
                    shown.advance(len(x))
        finally:
            kept.save()
    assert kept.logits is not None
    return kept.logits


def _ask(model: nn.Module, x: Tensor) -> Tensor:
    with eval_mode(model), torch.no_grad():
        logits: Tensor = model(x)
    return logits.float().cpu()


def _crafting(examples: Examples, model: nn.Module, name: str, device: torch.device) -> Callable[..., Tensor]:
    model.to(device)
    _, sample, _ = next(examples.batches(0, device))
    view = view_of(model, examples.precision, sample[:32])() or model

    def craft(start: int, x: Tensor, y: Tensor) -> Tensor:
        at = examples.index[start : start + len(x)].tolist()
        draws = example_generators(examples.seed, f"surface-{name}", at)
        return adversarial_points(view, x, y, examples.attack, generator=draws)

    return craft


class _Kept:
    """Answers so far, `[S, done, C]`, in memory and in a file."""

    def __init__(self, path: Path | None, total: int) -> None:
        self._path, self._parts = path, list[Tensor]()
        self._saved = time.monotonic()
        if path is not None and path.is_file():
            self._load(path, total)

    @property
    def done(self) -> int:
        return sum(part.shape[1] for part in self._parts)

    @property
    def logits(self) -> Tensor | None:
        return torch.cat(self._parts, 1) if self._parts else None

    def add(self, part: Tensor) -> None:
        self._parts.append(part)
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        logits = self.logits
        self._saved = time.monotonic()
        if self._path is None or logits is None:
            return
        make_folder(self._path.parent)
        save_sealed({"logits": logits.contiguous()}, self._path, {})

    def _load(self, path: Path, total: int) -> None:
        try:
            logits = read_sealed(path)[0]["logits"]
        except (ModelError, KeyError):
            return
        # A damaged file is made again: it holds nothing that cannot be computed.
        if logits.dim() == 3 and logits.dtype == torch.float32 and logits.shape[1] <= total:
            self._parts = [logits]
