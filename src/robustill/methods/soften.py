"""Soften: a teacher made unsure on some training images, around any method with a frozen teacher.

Paper: our remedy for the finding of Lee, Chung, "Toward Understanding Adversarial Distillation: Why Robust Teachers
    Fail", ICML 2026, arXiv 2605.21999, which proposes to choose a teacher that is unsure on these images by itself.
Inner: that of the wrapped method, with the softened teacher
Outer: that of the wrapped method, with q replaced on the subset by (1 - lam) q + lam / C
Variants: `mode`: mix as above; entropy: softmax(z / (t tau)) with the least tau >= 1 at which its entropy is `entropy`;
    uniform: 1 / C; one_hot: the label; original: q, the control. `placebo`: the same on as many other images of each
    class, drawn by `seed`.
State: none; a checkpoint knows which images were softened, and a run with others is refused
Differs: no released code. A third party reports that softening by entropy alone helped a student of one teacher and
    softening by the student's risk did not; nothing is proven.
Settings: the wrapped method's; subset a file of `robustill unlearnable` for this student's architecture.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from robustill.attacks import Objective
from robustill.data import Split
from robustill.errors import InputError
from robustill.methods.base import Loss, Method
from robustill.methods.soften_rows import as_rows, digest, placebo
from robustill.methods.soften_target import Mode, check_softening, softened
from robustill.methods.wrapper import Wrapper
from robustill.models import Frozen


class Soften(Wrapper):
    """Softens every answer of the wrapped method's frozen teachers to an image of the subset, at x, x' or near them.

    Which images a batch holds is told by the training loop, never guessed from pixels: so augmented and streamed images
    are recognised, and a batch that nobody announced is an error. Only the classes of a teacher that reads nothing but
    them (HAT) are as they were, and `uniform` leaves none.

    Args:
        base: The method to wrap; it needs a frozen teacher.
        subset: Rows `[k]` of the data set's source, as `Split.indices` counts them, or a file of them; all when None.
        mode: What becomes of the soft label.
        lam: Share of the uniform distribution, for mode mix.
        entropy: Least entropy in nats, for mode entropy.
        temperature: At which the wrapped method reads the soft label; its own `temperature`, else 1, when None.
        placebo: Soften a class-matched random subset of the same size instead, disjoint from it.
        seed: Draws the placebo.

    Raises:
        InputError: `base` has no adversary or no frozen teacher; an impossible setting; a placebo for all images.
        DataError: A file that cannot be read.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.methods import RSLAD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = Soften(RSLAD(student, teacher))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat', 'softened']
    """

    def __init__(
        self,
        base: Method,
        *,
        subset: str | Path | Tensor | Sequence[int] | None = None,
        mode: Mode = "mix",
        lam: float = 0.5,
        entropy: float = 1.0,
        temperature: float | None = None,
        placebo: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(base)
        check_softening(mode, lam, entropy)
        if not self._teachers():
            what = type(self.innermost).__name__
            raise InputError(f"Soften needs a frozen teacher, and {what} has none", "wrap one that has, such as rslad")
        if placebo and subset is None:
            raise InputError("Soften: a placebo of all images is none", "name a subset, or leave the placebo out")
        self.rows = None if subset is None else as_rows(subset)
        self.mode, self.lam, self.entropy, self.placebo, self.seed = mode, lam, entropy, placebo, seed
        own = float(getattr(self.innermost, "temperature", 1.0))
        self.temperature = own if temperature is None else temperature
        self._chosen: Tensor | None = None
        self._due: tuple[Tensor, Tensor] | None = None
        self._asked: bool | None = None

    def begin_run(self, train: Split) -> None:
        super().begin_run(train)
        if self.rows is not None:
            chosen = self.rows.find(train)
            self._chosen = placebo(chosen, train.labels, self.seed) if self.placebo else chosen

    def expect(self, x: Tensor, rows: Tensor) -> None:
        super().expect(x, rows)
        self._due = (x, rows)

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        with self._softened(x, y):
            objective = super().inner(x, y)

        def with_softened_teacher(points: Tensor) -> Tensor:
            with self._softened(x, y):
                return objective(points)

        return with_softened_teacher

    def perturb(self, x: Tensor, y: Tensor) -> Tensor:
        with self._softened(x, y):
            return super().perturb(x, y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        self._asked = bool(self._asked)
        with self._softened(x, y) as chosen:
            loss = super().outer(x, x_adv, y)
        return Loss(loss.per_example, {**loss.terms, "softened": chosen.to(x.dtype)})

    def end_epoch(self) -> None:
        """Warn where no teacher was asked for logits: then nothing was softened."""
        if self._asked is False:
            what = type(self.base).__name__
            warnings.warn(f"Soften: {what} never asked a frozen teacher for its logits", stacklevel=2)
        self._asked = None
        super().end_epoch()

    def get_extra_state(self) -> Tensor:
        """Return what identifies the softened images, int64 `[4]`."""
        return torch.zeros(4, dtype=torch.int64) if self._chosen is None else digest(self._chosen)

    def set_extra_state(self, state: Tensor) -> None:
        """Check that a checkpoint is of a run that softened the same images.

        Raises:
            InputError: It is not.
        """
        if not torch.equal(state.cpu(), self.get_extra_state()):
            raise InputError("Soften: the run softened other images", "resume with the subset file of the run")

    def _teachers(self) -> list[Frozen]:
        return [module for module in self.base.modules() if isinstance(module, Frozen)]

    def _of(self, x: Tensor) -> Tensor:
        """Return which images of a batch are softened, bool `[B]`."""
        if self.rows is None:
            return torch.ones(len(x), dtype=torch.bool, device=x.device)
        if self._chosen is None or self._due is None or self._due[0] is not x:
            raise InputError(
                "Soften was not told which training images these are",
                "train it with robustill.train, or call begin_run(data.train) once and expect(x, rows) for each batch",
            )
        return self._chosen[self._due[1].cpu()].to(x.device)

    @contextmanager
    def _softened(self, x: Tensor, y: Tensor) -> Iterator[Tensor]:
        """Let all teachers give softened answers for the block; yields which images they are, bool `[B]`."""
        chosen = self._of(x)

        def answer(teacher: nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> Tensor:
            self._asked = True
            if len(logits) != len(chosen):
                raise InputError(
                    f"Soften: a teacher was asked about {len(logits)} of {len(chosen)} images",
                    "the wrapped method must ask its teachers about whole batches",
                )
            # Not in place: the teacher remembers its own answer.
            new = softened(logits, y, mode=self.mode, lam=self.lam, entropy=self.entropy, temperature=self.temperature)
            return torch.where(chosen[:, None], new, logits)

        with ExitStack() as stack:
            for teacher in self._teachers():
                stack.callback(teacher.register_forward_hook(answer).remove)
            yield chosen
