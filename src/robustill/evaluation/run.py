"""Robust accuracy: the attacks in turn, the numbers, and whether they can be believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from robustill.attacks.threat import Norm
from robustill.data import Data
from robustill.errors import InputError
from robustill.evaluation.earlier import recall, write_result
from robustill.evaluation.helpers import Helpers
from robustill.evaluation.request import Request, prepare
from robustill.evaluation.result import Evaluation
from robustill.evaluation.shards import gather, part
from robustill.evaluation.subset import balance_note
from robustill.evaluation.trust import trust
from robustill.evaluation.view import Precision
from robustill.models import model_digest
from robustill.training.device import cpu_threads
from robustill.training.lock import hold
from robustill.training.networks import check_given


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    eps: float,
    norm: Norm = "Linf",
    attacks: Sequence[str] = ("fgsm", "pgd20", "cw"),
    split: str = "test",
    images: int | None = None,
    eps_grid: Sequence[float] = (),
    transfer_from: nn.Module | None = None,
    checks: bool = True,
    precision: Precision = "auto",
    batch_size: int = 256,
    seed: int = 0,
    device: str | torch.device | None = None,
    processes: int = 1,
    out: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Attack `model` on a split of `data` and return one verdict per example and attack.

    Every success is confirmed in float32 on `model` itself, in the ball, before it counts. Started by `torchrun` or
    `accelerate launch`, the processes share the images and all return the whole result.

    Args:
        model: Maps images `[B, C, H, W]` in [0, 1] to logits; evaluated in eval mode, left as it was.
        data: Its `split` (`"test"`, `"validation"` or `"train"`, without augmentation).
        eps: Radius in pixel units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        attacks: Names as in `named_attack`.
        split: Which part of the data.
        images: Only so many, as many of each class (however many the data have of it), drawn by `seed`; all when None.
        eps_grid: Radii for a curve of the worst case over `attacks`.
        transfer_from: Another model: each attack is also made on it and tried on `model`, as `transfer-NAME`.
        checks: Look for signs that the attacks were fooled (a few small attacks more).
        precision: What AutoAttack, APGD, FAB and Square search in: `"auto"`, `"float32"` or `"bfloat16"`.
        batch_size: Images per batch; verdicts do not depend on it, since each example has its own random draws.
        seed: Seed of the random draws.
        device: Where to compute; where the model is when None.
        processes: On the CPU, share the images among so many processes of one thread each. A script that asks for
            more than one needs the usual `if __name__ == "__main__":`.
        out: Folder for `evaluation.json` and `verdicts.safetensors`; an evaluation that was cut off goes on where it
            was, inside an attack too, and a finished attack is not run again. `evaluation.json` goes on to
            count what it counted before on the same weights, images, radius and seed; one of others is put aside.
        progress: Show a bar with an ETA per attack, and what AutoAttack will cost.

    Raises:
        InputError: An unknown attack, split or precision, an impossible radius, batch size or number of images, or
            something else than a network and data.
        CheckpointError: Another process is evaluating into `out`.
        WriteError: `out` cannot be written, or the disk is full; what was saved before is intact.
        ModelError: A model does not fit the data, or gives probabilities.

    >>> import torch
    >>> from robustill.data import load_data
    >>> from robustill.models import build_model
    >>> data = load_data("digits")
    >>> _ = torch.manual_seed(0)
    >>> model = build_model("cnn_small", num_classes=10, shape=data.shape)
    >>> found = evaluate(model, data, eps=0.1, attacks=["fgsm"], images=50, checks=False, progress=False)
    >>> found.accuracy("fgsm") <= found.accuracy("clean")
    True
    """
    check_given(data, {"model": model} | ({} if transfer_from is None else {"transfer_from": transfer_from}))
    request = Request(
        eps, norm, _once_each(attacks), split, images, tuple(eps_grid), precision, batch_size, seed,
        Path(out) if out is not None else None,
    )  # fmt: skip
    place = torch.device(device) if device is not None else next(model.parameters()).device
    shard, threads = part(place), 0
    if processes != 1:
        _check_processes(processes, place, shard)
        shard, threads = (0, processes), 1
    show = progress and shard[0] == 0
    with nullcontext() if out is None else hold(Path(out), "evaluation"):
        campaign = prepare(request, model, data, transfer_from, place, shard, show=show)
        store = campaign.run.store
        with cpu_threads(threads), Helpers(max(processes, 1), request, model, data, transfer_from) as helpers:
            campaign.attack()
            helpers.collect(store)
        gather(store, shard[1] if processes == 1 else 1)
        about = {**request.about(model, data), "split_digest": data.split_digest(split)}
        if (drawn := balance_note(campaign.run.split.labels, images)) is not None:
            about["drawn"] = drawn
        if transfer_from is not None:
            # The stored verdicts may be of other surrogates besides: this says which ones are counted.
            about["transfer_from"] = model_digest(transfer_from)
        result = Evaluation(campaign.verdicts(), eps, norm, about, campaign.seconds(), **campaign.details())
        if checks:
            result = trust(result, campaign.run, data.num_classes)
        if shard[0] == 0:
            store.merge()
            if out is not None:
                whole = recall(result, store, Path(out))
                again = checks and whole is not result
                write_result(trust(whole, campaign.run, data.num_classes) if again else whole, Path(out))
    return result


def _once_each(attacks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(attacks, str):
        raise InputError(f"attacks is the text {attacks!r}", f"write a list of names: attacks={attacks.split(',')!r}")
    # What is no list is one attack, of which `named_attack` says what to do about it.
    return tuple(dict.fromkeys(attacks)) if isinstance(attacks, Iterable) else (attacks,)


def _check_processes(processes: int, place: torch.device, shard: tuple[int, int]) -> None:
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise InputError(f"processes is {processes!r}; it must be a number of processes, 1 or more")
    if place.type != "cpu" or shard[1] > 1:
        raise InputError(
            f"processes={processes} shares a CPU", "on GPUs, or under a launcher, let torchrun start the processes"
        )
