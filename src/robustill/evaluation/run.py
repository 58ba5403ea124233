"""Running the attacks: example by example in order, resumable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import AutoAttack, correct, named_attack, run_searches, stays_correct
from robustill.attacks.threat import Norm
from robustill.data import Data, Split
from robustill.errors import InputError
from robustill.evaluation.result import Evaluation
from robustill.evaluation.store import VerdictStore, example_generators
from robustill.models import model_digest
from robustill.progress import bar
from robustill.training.networks import check_network


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    eps: float,
    norm: Norm = "Linf",
    attacks: Sequence[str] = ("fgsm", "pgd20", "cw"),
    split: str = "test",
    batch_size: int = 256,
    seed: int = 0,
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Attack `model` on a split of `data` in float32 and return one verdict per example and attack.

    Args:
        model: Maps images `[B, C, H, W]` in [0, 1] to logits; evaluated in eval mode, left as it was.
        data: Its `split` (`"test"`, `"validation"` or `"train"`, without augmentation) is read in order.
        eps: Radius in pixel units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        attacks: Names as in `named_attack`.
        split: Which part of the data.
        batch_size: Images per batch; verdicts do not depend on it, since each example has its own random start.
        seed: Seed of the random starts.
        device: Where to compute; where the model is when None.
        out: Folder for `evaluation.json` and `verdicts.safetensors`; an evaluation that was cut off goes on from the
            verdicts it had, a finished attack is not run again.
        progress: Show a bar with an ETA.

    Raises:
        InputError: An unknown attack or split, an impossible radius or batch size.
        ModelError: The model does not fit the data, or gives probabilities.
    """
    images = _split(data, split)
    device = torch.device(device) if device is not None else next(model.parameters()).device
    model = model.to(device)
    x, _ = next(iter(images.batches(batch_size, device=device)))
    check_network("model", model, x[:2], data)
    about = {"data": data.name, "split": split, "data_digest": data.digest, "model_digest": model_digest(model)}
    settings = {**about, "eps": eps, "norm": norm, "seed": seed, "images": len(images)}
    plans = {name: named_attack(name, eps=eps, norm=norm) for name in attacks}
    store = VerdictStore(Path(out) if out is not None else None, settings, len(images))
    run = _Evaluator(model, images, store, device, batch_size, seed, progress)
    run.stage("clean", None)
    stages: dict[str, dict[str, Tensor]] = {}
    for name, attack in plans.items():
        if isinstance(attack, AutoAttack):
            stages[name] = run.ensemble(name, attack, data.num_classes)
        else:
            run.stage(name, attack)
    verdicts = {name: store.verdicts(name) for name in ("clean", *plans) if name not in stages}
    verdicts |= {name: list(found.values())[-1] for name, found in stages.items()}
    verdicts = {name: verdicts[name] for name in ("clean", *plans)}
    # What is in the store may be of attacks that were not asked for now.
    seconds = {stage: spent for stage, spent in store.seconds.items() if stage.split("/")[0] in verdicts}
    result = Evaluation(verdicts, eps, norm, {**about, "seed": seed}, seconds, stages)
    if out is not None:
        _write_json(result.to_json(), Path(out) / "evaluation.json")
    return result


@dataclass
class _Evaluator:
    model: nn.Module
    split: Split
    store: VerdictStore
    device: torch.device
    batch_size: int
    seed: int
    progress: bool

    def ensemble(self, name: str, attack: AutoAttack, classes: int) -> dict[str, Tensor]:
        """Run the stages of AutoAttack, each on what the ones before left standing; return the verdicts after each."""
        before, found = "clean", {}
        for stage, searches in attack.stages(classes).items():
            self.stage(f"{name}/{stage}", searches, before)
            before = f"{name}/{stage}"
            found[stage] = self.store.verdicts(before)
        return found

    def stage(self, name: str, attack: Any, before: str = "clean") -> None:
        """Run one attack (None: no attack) on the examples without a verdict that were right in the stage `before`."""
        done = self.store.done(name)
        total = len(self.split)
        if done == total:
            return
        try:
            with bar(name, total, done=done, show=self.progress) as shown:
                for x, y in self._remaining(done):
                    began = time.monotonic()
                    right = correct(self.model, x, y) if attack is None else self._attacked(attack, x, y, name, before)
                    self.store.add(name, right, time.monotonic() - began)
                    shown.advance(len(y))
        finally:
            # Also on Ctrl-C: what has a verdict is not attacked again.
            self.store.save()

    def _remaining(self, done: int) -> Iterator[tuple[Tensor, Tensor]]:
        # The run that was cut off may have had another batch size: begin inside a batch.
        skip = done % self.batch_size
        for x, y in self.split.batches(self.batch_size, device=self.device, start=done // self.batch_size):
            yield x[skip:], y[skip:]
            skip = 0

    def _attacked(self, attack: Any, x: Tensor, y: Tensor, name: str, before: str) -> Tensor:
        first = self.store.done(name)
        right = self.store.verdicts(before)[first : first + len(y)].to(self.device)
        if bool(right.any()):
            index = first + right.nonzero().flatten().cpu()
            generators = example_generators(self.seed, name, index.tolist())
            again = (self.model, x[right], y[right])
            if isinstance(attack, list):
                right[right.clone()] = ~run_searches(attack, *again, generators)[0]
            else:
                right[right.clone()] = stays_correct(*again, attack, generator=generators)
        return right


def _split(data: Data, name: str) -> Split:
    found = {"train": data.train, "validation": data.validation, "test": data.test}.get(name)
    if found is None:
        raise InputError(f"{data.name} has no split {name!r}", "choose test, validation or train")
    return found


def _write_json(values: dict[str, Any], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(values, indent=2) + "\n")
    os.replace(temporary, path)
