"""Is this the teacher one believes it is: the checks that the field's users miss most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from robustill.attacks import PGD, eval_mode, stays_correct
from robustill.data import Data
from robustill.errors import InputError
from robustill.evaluation.interval import clopper_pearson
from robustill.losses import entropy
from robustill.models import Normalize, check_logits, model_digest
from robustill.training.chance import near_chance


@dataclass(frozen=True)
class TeacherCheck:
    """What was found on a few test images.

    Args:
        images: Number of images.
        clean: Clean accuracy.
        robust: PGD-20 accuracy at `eps`.
        eps: Radius in pixel units.
        entropy: Mean entropy of the clean prediction, nats.
        normalization: What the network does to its input.
        digest: Its `model_digest`.
        problems: What is wrong, in plain words; empty for a usable teacher.
        notes: Worth knowing, but not wrong.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> from robustill.diagnostics import verify_teacher
    >>> check = verify_teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), data, eps=0.1, images=20)
    >>> check.robust <= check.clean
    True
    """

    images: int
    clean: float
    robust: float
    eps: float
    entropy: float
    normalization: str
    digest: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """Return table rows."""
        return [
            ("images", str(self.images)),
            ("clean accuracy", f"{100 * self.clean:.1f}%"),
            (f"PGD-20 accuracy, Linf eps {self.eps:.4g}", f"{100 * self.robust:.1f}%"),
            ("mean entropy", f"{self.entropy:.3f} nats"),
            ("normalisation", self.normalization),
            ("digest", self.digest[:16]),
            *(("note", note) for note in self.notes),
        ]


def verify_teacher(
    teacher: nn.Module, data: Data, *, eps: float, images: int = 200, seed: int = 0, described: bool = False
) -> TeacherCheck:
    """Check a teacher's logits, accuracies, normalisation and label order on `images` test images.

    Args:
        teacher: Maps images in [0, 1] to logits.
        data: Its test split is read.
        eps: Radius of the PGD accuracy.
        images: Number of images.
        seed: Chooses the images and the random starts.
        described: Its file says how it was made, as a run of this library does, so its normalisation is not doubted.

    Raises:
        InputError: No images.
        ModelError: Wrong class count, probabilities instead of logits, or values that are not finite.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> check = verify_teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), data, eps=0.1, images=20)
    >>> check.images, bool(check.problems)
    (20, True)
    """
    if images < 1:
        raise InputError(f"images is {images}; a teacher is verified on 1 image or more")
    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(seed))[:images]
    device = next(teacher.parameters()).device
    x = (data.test.images(order).to(device)).float() / 255
    y = data.test.labels[order].to(device)
    with eval_mode(teacher), torch.no_grad():
        logits = teacher(x)
        check_logits(logits, data.num_classes)
        clean = float((logits.argmax(1) == y).float().mean())
        problems = [] if described else _other_range(logits.argmax(1) == y, *_best_rescaling(teacher, x, y))
    attack = PGD(eps=eps, step_size=max(eps / 4, 1e-9), steps=20)
    right = stays_correct(teacher, x, y, attack, generator=torch.Generator().manual_seed(seed))
    robust = float((right & (logits.argmax(1) == y)).float().mean())
    return TeacherCheck(
        images=len(x),
        clean=clean,
        robust=robust,
        eps=eps,
        entropy=float(entropy(logits).mean()),
        normalization=_normalization(teacher),
        digest=model_digest(teacher),
        problems=(*problems, *_problems(clean, logits, y, data)),
        notes=("not robust: use it as a clean teacher only",) if robust < 0.05 else (),
    )


def _other_range(right: Tensor, name: str, rescaled: Tensor) -> list[str]:
    """Return a problem if inputs of another range do better than `right`, by more than chance and worth a word."""
    as_it_is, better = float(right.float().mean()), float(rescaled.float().mean())
    if better <= as_it_is + 0.1 or clopper_pearson(rescaled)[0] <= clopper_pearson(right)[1]:
        return []
    return [
        f"accuracy is {100 * as_it_is:.0f}% on inputs in [0, 1] but {100 * better:.0f}% on {name}: the network may "
        "expect a normalisation that it does not contain; build it with mean= and std="
    ]


def _problems(clean: float, logits: Tensor, y: Tensor, data: Data) -> list[str]:
    problems = []
    permuted, mapping = _best_label_order(logits.argmax(1), y, data.num_classes)
    # With few images per class some reordering always fits by luck.
    if permuted > clean + 0.2 and len(y) >= 10 * data.num_classes:
        moved = ", ".join(f"{a}->{b}" for a, b in mapping if a != b)
        problems.append(
            f"with its labels reordered ({moved}) accuracy would be {100 * permuted:.0f}%: label order differs"
        )
    if near_chance(clean, data.num_classes):
        problems.append(f"clean accuracy {100 * clean:.1f}% is near chance: untrained, wrong data, or wrong labels")
    return problems


def _best_rescaling(teacher: nn.Module, x: Tensor, y: Tensor) -> tuple[str, Tensor]:
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
    views = {"inputs normalised to mean 0 and deviation 1": (x - mean) / std, "inputs in [-1, 1]": 2 * x - 1}
    views["inputs in 0..255"] = 255 * x
    found = {name: teacher(view).argmax(1) == y for name, view in views.items()}
    best = max(found, key=lambda name: int(found[name].sum()))
    return best, found[best]


def _best_label_order(predicted: Tensor, y: Tensor, classes: int) -> tuple[float, list[tuple[int, int]]]:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (predicted.cpu().numpy(), y.cpu().numpy()), 1)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / len(y)), list(zip(rows.tolist(), columns.tolist(), strict=True))


def _normalization(teacher: nn.Module) -> str:
    for module in teacher.modules():
        if isinstance(module, Normalize):
            mean, std = ([round(float(v), 4) for v in t.flatten()] for t in (module.mean, module.std))
            return f"inside: mean {mean}, std {std}"
    return "none inside (takes [0, 1] as it is)"
