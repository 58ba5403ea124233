"""`certify`: certified accuracy, and what an attack leaves above it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from robustill.attacks.threat import Norm
from robustill.data import Data
from robustill.diagnostics.bracket.certification import Certification, SmoothedClass
from robustill.diagnostics.bracket.files import reported
from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.bracket.model_stages import ModelStages
from robustill.diagnostics.bracket.radii import BOUNDS, check_choice, check_counts, check_radii, check_smoothing
from robustill.diagnostics.bracket.sandwich import ROUNDING, certain_within, check_verdicts, found_within
from robustill.diagnostics.bracket.stages import run_stages
from robustill.diagnostics.bracket.subject import Subject, check_boundable, subject
from robustill.training.lock import hold
from robustill.training.networks import check_given
from robustill.writing import write_json


def certify(
    model: nn.Module,
    data: Data,
    eps: float | Sequence[float],
    *,
    norm: Norm = "Linf",
    bounds: str = "crown",
    sigma: float | None = None,
    samples: int = 10_000,
    alpha: float = 0.001,
    split: str = "test",
    images: int | None = None,
    steps: int = 40,
    restarts: int = 5,
    batch_size: int = 64,
    seed: int = 0,
    device: str | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Certification:
    """Return the share of images whose class no image within a radius can change, and what an attack leaves.

    Robust accuracy lies between the two. Certificates hold up to the rounding of float32.
    Started by `torchrun` or `accelerate launch`, the processes share the images and all return the whole result.

    Args:
        model: Maps images `[B, C, H, W]` in [0, 1] to logits; in eval mode.
        data: Its `split` (`"test"`, `"validation"` or `"train"`, without augmentation).
        eps: One or several radii in units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        bounds: `"crown"`, `"crown-ibp"`, `"ibp"` (each looser and faster than the one before), or `"none"`.
        sigma: For L2: certify the network smoothed by Gaussian noise of this standard deviation instead.
        samples: Noisy copies per image.
        alpha: Chance that a smoothing certificate of an image is wrong.
        split: Which part of the data.
        images: Only so many, as many of each class, drawn by `seed`; all when None.
        steps: Steps of the attacks, PGD on the cross-entropy and on the margin.
        restarts: Runs of each, the one from the image itself included.
        batch_size: Images per batch. Results do not depend on it but for rounding.
        seed: Seed of images, random starts and noise.
        device: Where to compute; where the model is when None.
        out: Folder for `certification.json` and `certification.safetensors`; what was cut off goes on where it was,
            and further radii or other bounds are added to what is there.
        progress: Show a bar with an ETA.

    Raises:
        InputError: A value out of range, or a model in train mode.
        ModelError: The model does not fit the data or cannot be bounded.
        CheckpointError: `out` holds results of other settings, or another process is working there.
        BracketError: An attack found an image where a certificate says there is none, which is a bug.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    >>> found = certify(model, data, eps=[0.01, 0.05], steps=2, restarts=1, progress=False)
    >>> bool((found.certified <= found.stands).all())
    True
    """
    check_given(data, {"model": model})
    radii = check_radii(eps, norm, data.shape[0] * data.shape[1] * data.shape[2])
    check_choice("bounds", bounds, BOUNDS)
    check_counts(steps=steps, restarts=restarts, batch_size=batch_size, samples=samples)
    if sigma is not None:
        check_smoothing(sigma, samples, alpha, norm)
    chosen = subject({"model": model}, data, split, images, seed, device)
    if bounds != "none" and sigma is None:
        check_boundable(chosen, norm)
    settings = {"norm": norm, "seed": seed, "images": len(chosen), "steps": steps, "restarts": restarts}
    folder = Path(out) if out is not None else None
    with nullcontext() if folder is None else hold(folder, "certification"):
        kept = Kept(
            None if folder is None else folder / "certification.safetensors",
            {"format": 1, **chosen.about, **settings}, len(chosen),
            writes=chosen.shard[0] == 0,
        )  # fmt: skip
        work = ModelStages(chosen, kept, norm, steps, restarts, seed, batch_size)
        smoothing = None if sigma is None else (sigma, samples, alpha)
        stages = work.all(radii, bounds, smoothing)

        def check(at: Tensor) -> None:
            for each in radii if bounds != "none" and sigma is None else ():
                fallen = ~kept.get(f"attack@{each!r}", "stands")[at]
                sure = kept.get(f"{bounds}@{each!r}", "margin")[at] < -ROUNDING
                check_verdicts("robustness", each, fallen, sure, chosen.index[at])

        run_stages(
            chosen, kept, stages, batch_size=batch_size, label="certify",
            progress=progress, check=check,
        )  # fmt: skip
        result = _result(kept, chosen, radii, norm, bounds, smoothing)
        result = replace(
            result, about=reported({**chosen.about, **settings}), seconds=kept.spent(each.name for each in stages)
        )
        if folder is not None and chosen.shard[0] == 0:
            write_json(result.to_json(), folder / "certification.json")
    return result


def _result(
    kept: Kept,
    chosen: Subject,
    radii: tuple[float, ...],
    norm: str,
    bounds: str,
    smoothing: tuple[float, int, float] | None,
) -> Certification:
    """Return what the stages found; a smaller ball is part of a larger one."""
    labels = chosen.labels
    clean = kept.get("clean", "class") == labels
    if smoothing is not None:
        stage = "smoothing {} {} {}".format(*smoothing)
        found = SmoothedClass(*smoothing, kept.get(stage, "prediction"), kept.get(stage, "radius"))
        sure = torch.stack([(found.prediction == labels) & (found.radius > eps) for eps in radii])
        return Certification(radii, norm, "smoothing", labels, clean, None, sure, found)
    stands = ~found_within(~torch.stack([kept.get(f"attack@{eps!r}", "stands") for eps in radii]))
    if bounds == "none":
        return Certification(radii, norm, bounds, labels, clean, stands, torch.zeros_like(stands))
    sure = certain_within(torch.stack([kept.get(f"{bounds}@{eps!r}", "margin") for eps in radii])) < -ROUNDING
    for k, eps in enumerate(radii):
        check_verdicts("robustness", eps, ~stands[k], sure[k], chosen.index)
    return Certification(radii, norm, bounds, labels, clean, stands, sure)
