"""`calibrate`: attacked from below, certified from above."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from robustill.attacks.threat import Norm
from robustill.data import Data
from robustill.diagnostics.bracket.calibration import Calibration
from robustill.diagnostics.bracket.files import reported
from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.bracket.pair_result import check_pair, pair_result
from robustill.diagnostics.bracket.pair_stages import PairStages
from robustill.diagnostics.bracket.radii import (
    BOUNDS,
    POINTS,
    check_choice,
    check_counts,
    check_radii,
    check_smoothing,
    check_temperature,
)
from robustill.diagnostics.bracket.stages import run_stages
from robustill.diagnostics.bracket.subject import check_boundable, subject
from robustill.training.lock import hold
from robustill.training.networks import check_given
from robustill.writing import write_json


def calibrate(
    student: nn.Module,
    teacher: nn.Module,
    data: Data,
    eps: float | Sequence[float],
    *,
    norm: Norm = "Linf",
    bounds: str = "crown",
    points: str = "teacher",
    split: str = "test",
    images: int | None = None,
    steps: int = 40,
    restarts: int = 5,
    targets: int = 9,
    temperature: float = 1.0,
    sigma: float | None = None,
    samples: int = 10_000,
    alpha: float = 0.001,
    batch_size: int = 64,
    seed: int = 0,
    device: str | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Calibration:
    """Return how far the student's confidence and class stray from the teacher's within some radii.

    Our formulation, after Lamb et al., arXiv 2306.04431. Everything certified holds up to the rounding of float32.
    Started by `torchrun` or `accelerate launch`, the processes share the images and all return the whole result.

    Args:
        student: Maps images `[B, C, H, W]` in [0, 1] to logits; in eval mode.
        teacher: Another with the same classes; may be the same network.
        data: Its `split` (`"test"`, `"validation"` or `"train"`, without augmentation).
        eps: One or several radii in units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        bounds: `"crown"`, `"crown-ibp"`, `"ibp"` (each looser and faster than the one before), or `"none"`.
        points: Numbers are about the images that the `"teacher"`, the `"student"` or `"both"` get right.
        split: Which part of the data.
        images: Only so many, as many of each class, drawn by `seed`; all when None.
        steps: Steps of each attack.
        restarts: Runs of the attacks on the gap, the one from the image itself included.
        targets: Classes that the disagreement attack tries, at most.
        temperature: What logits are divided by before the softmax, for gaps and for the calibration error.
        sigma: For L2: also certify the pair smoothed by Gaussian noise of this standard deviation.
        samples: Noisy copies per image.
        alpha: Chance that a smoothing certificate of an image is wrong.
        batch_size: Images per batch. Results do not depend on it but for rounding.
        seed: Seed of images, random starts and noise.
        device: Where to compute; where the student is when None.
        out: Folder for `calibration.json` and `calibration.safetensors`; what was cut off goes on where it was, and
            further radii or other bounds are added to what is there.
        progress: Show a bar with an ETA.

    Raises:
        InputError: A value out of range, or a network in train mode.
        ModelError: A network does not fit the data, has other classes or another order, or cannot be bounded.
        CheckpointError: `out` holds results of other settings, or another process is working there.
        BracketError: An attack found more than a certificate allows, which is a bug.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval() for _ in range(2))
    >>> found = calibrate(student, teacher, data, eps=0.05, bounds="ibp", steps=2, restarts=1, progress=False)
    >>> bool((found.calibration.lower <= found.calibration.upper)[:, found.chosen()].all())
    True
    """
    check_given(data, {"student": student, "teacher": teacher})
    radii = check_radii(eps, norm, data.shape[0] * data.shape[1] * data.shape[2])
    check_choice("bounds", bounds, BOUNDS)
    check_choice("points", points, POINTS)
    check_counts(steps=steps, restarts=restarts, targets=targets, batch_size=batch_size, samples=samples)
    check_temperature(temperature)
    if sigma is not None:
        check_smoothing(sigma, samples, alpha, norm)
    chosen = subject({"student": student, "teacher": teacher}, data, split, images, seed, device)
    if bounds != "none":
        check_boundable(chosen, norm)
    settings = {"norm": norm, "seed": seed, "temperature": temperature, "images": len(chosen)}
    settings |= {"steps": steps, "restarts": restarts, "targets": targets}
    folder = Path(out) if out is not None else None
    with nullcontext() if folder is None else hold(folder, "calibration"):
        kept = Kept(
            None if folder is None else folder / "calibration.safetensors",
            {"format": _format(temperature), **chosen.about, **settings}, len(chosen),
            writes=chosen.shard[0] == 0,
        )  # fmt: skip
        smoothing = None if sigma is None else (sigma, samples, alpha)
        work = PairStages(chosen, kept, norm, steps, restarts, targets, temperature, seed, batch_size)
        stages = work.all(radii, bounds, smoothing)

        def check(at: Tensor) -> None:
            for each in radii if bounds != "none" else ():
                check_pair(kept, each, bounds, at, chosen.index)

        run_stages(
            chosen, kept, stages, batch_size=batch_size, label="calibrate",
            progress=progress, check=check,
        )  # fmt: skip
        result = pair_result(kept, chosen, radii, norm, bounds, points, smoothing)
        result = replace(
            result, about=reported({**chosen.about, **settings}), seconds=kept.spent(each.name for each in stages)
        )
        if folder is not None and chosen.shard[0] == 0:
            write_json(result.to_json(), folder / "calibration.json")
    return result


def _format(temperature: float) -> int:
    """Return 1 for files of temperature 1; in those of others confidences and smoothed gaps did not heed it once."""
    return 1 if temperature == 1 else 2
