"""What reference models of one architecture agree to get wrong under attack, and to get right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from robustill.diagnostics.learnability.stability import Point, jaccard, stability
from robustill.errors import InputError, nearest

Estimator = Literal["single", "intersection", "soft"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)


@dataclass(frozen=True)
class Learnability:
    """Verdicts of reference models, each attacked by itself, on clean training images without augmentation.

    A set found this way belongs to the data, the architecture, the threat, and the number and kind of references: with
    every further reference the unlearnable set can only shrink. `about` holds all of these.

    Attributes:
        right: Where each reference stays right under attack, bool `[M, n]`.
        agreed: The class that all references, and the teachers that were asked, see without an attack; -1 where they
            differ. int64 `[n]`.
        belief: Mean probability that the references give to the label without an attack, `[n]`.
        labels: int64 `[n]`.
        index: Positions of the images in the training split, int64 `[n]`.
        rows: Rows of the images in the source of the data, int64 `[n]`.
        references: A name per reference; what stands before a "/" is its group, such as the method.
        about: What else defines the numbers.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> from robustill.diagnostics import unlearnable
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    >>> found = unlearnable({"net/0": net}, data, "fgsm", eps=0.1, progress=False)
    >>> [len(weights) for weights in found.weights()]
    [54, 54]
    """

    right: Tensor
    agreed: Tensor
    belief: Tensor
    labels: Tensor
    index: Tensor
    rows: Tensor
    references: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, n = len(self.references), len(self.labels)
        if not count:
            raise InputError("there are no reference models", "give at least one")
        if self.right.dtype != torch.bool or tuple(self.right.shape) != (count, n):
            shape = f"{self.right.dtype} {list(self.right.shape)}"
            raise InputError(f"verdicts must be bool [{count} references, {n} images], found {shape}")
        if {len(each) for each in (self.agreed, self.belief, self.index, self.rows)} != {n}:
            raise InputError(
                f"there are {n} labels, but another number of positions, rows or predictions",
                "give one of each per image",
            )

    def __repr__(self) -> str:
        score, count = self.score, len(self.references)
        never, always = int((score == 0).sum()), int((score == count).sum())
        sets = f"{never} unlearnable, {always} learnable, {len(score) - never - always} ambiguous"
        return f"Learnability({len(score)} images, {count} reference{'s' * (count > 1)}: {sets})"

    @property
    def score(self) -> Tensor:
        """How many references stay right on each image, int64 `[n]`, 0 to M."""
        return self.right.sum(0)

    def weights(self, estimator: str = "intersection", *, k: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return how much each image belongs to the unlearnable and to the learnable ones, two times float64 `[n]`.

        Args:
            estimator: `"single"`: what the first reference gets wrong (right). `"intersection"`: what all of them get
                wrong (right); the others are ambiguous and in neither. `"soft"`: `(1 - score / M)^k` and
                `(score / M)^k`.
            k: Exponent of the soft weights.

        Raises:
            InputError: An unknown estimator, or an impossible exponent.
        """
        if estimator not in ESTIMATORS:
            raise InputError(f"there is no estimator {estimator!r}", nearest(estimator, ESTIMATORS))
        if estimator == "soft":
            return self.soft_weights(k), (self.score.double() / len(self.references)) ** k
        right = self.right[:1] if estimator == "single" else self.right
        return (~right).all(0).double(), right.all(0).double()

    def unlearnable(self, estimator: str = "intersection") -> Tensor:
        """Return the positions in the training split of the images that the references get wrong, int64, ascending.

        Raises:
            InputError: As `weights`; soft weights make no set.
        """
        return self._members(estimator, 0)

    def learnable(self, estimator: str = "intersection") -> Tensor:
        """Return the positions in the training split of the images that the references get right, int64, ascending.

        Raises:
            InputError: As `unlearnable`.
        """
        return self._members(estimator, 1)

    def soft_weights(self, k: float = 1.0) -> Tensor:
        """Return `(1 - score / M)^k`, float64 `[n]`: 1 where no reference is right, 0 where all are.

        Raises:
            InputError: `k` is not above 0.
        """
        if not k > 0:
            raise InputError(f"the exponent of the soft weights is {k!r}", "give a number above 0")
        return (1 - self.score.double() / len(self.references)) ** k

    def subset(self, references: Sequence[str]) -> Learnability:
        """Return the same from fewer references, in the order given: those of one group, say.

        Raises:
            InputError: No such reference.
        """
        for name in references:
            if name not in self.references:
                raise InputError(f"there is no reference {name!r}", nearest(name, self.references))
        rows = [self.references.index(name) for name in references]
        return replace(self, right=self.right[rows], references=tuple(references))

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the references by group."""
        found: dict[str, tuple[str, ...]] = {}
        for name in self.references:
            group = name.partition("/")[0]
            found[group] = (*found.get(group, ()), name)
        return found

    def stability_curve(self) -> list[Point]:
        """Return the sizes of both sets for 1 to M references, each the exact mean over all subsets of that size."""
        return stability(self.score, len(self.references))

    def jaccard(self) -> Tensor:
        """Return the Jaccard index of what each two references get wrong, float64 `[M, M]`; 1 for two empty sets."""
        return jaccard(~self.right)

    def untrained(self) -> tuple[str, ...]:
        """Return the references that are right on no more than one and a half times what guessing would be.

        A network that sees one class everywhere is robustly right on all of its images: they are not learned.
        """
        chance = 1.5 / max(2, len(self.about.get("class_names", ())))
        accuracies = self.about.get("reference_clean_accuracy", {})
        return tuple(name for name in self.references if accuracies.get(name, 1.0) <= chance)

    def label_errors(self) -> tuple[Tensor, Tensor]:
        """Return images whose label may be wrong: positions in the training split, and the class they seem to be of.

        They are in the intersection, and without an attack all references, and the teachers that were asked, see the
        same other class.
        """
        at = ((self.score == 0) & (self.agreed >= 0) & (self.agreed != self.labels)).nonzero().flatten()
        return self.index[at], self.agreed[at]

    def _members(self, estimator: str, which: int) -> Tensor:
        if estimator == "soft":
            raise InputError("soft weights make no set", "use soft_weights(), or another estimator")
        return self.index[self.weights(estimator)[which] > 0]
