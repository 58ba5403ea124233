"""`train`: the loop around a run; it knows a method only as a module called on `(x, y)` that returns a loss."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch

from robustill.data import Data
from robustill.data.dataset import check_data
from robustill.data.stream import reader_failures
from robustill.inputs import check_kind, check_network_kind
from robustill.methods.base import Method
from robustill.progress import bar
from robustill.training.chance import tell_chance
from robustill.training.checkpoint import random_state_kept, settings_then
from robustill.training.device import cpu_threads, settled
from robustill.training.interrupt import Interrupted, stop_requests
from robustill.training.lock import hold
from robustill.training.networks import going_on
from robustill.training.result import TrainResult
from robustill.training.resume import check_new
from robustill.training.run import Run
from robustill.training.settings import Settings, changed
from robustill.training.track import Live, check_trackers
from robustill.training.unreached import tell_left_out, tell_unreached


def train(
    method: Method,
    data: Data,
    settings: Settings | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    track: str | Sequence[str] = (),
    **changes: Any,
) -> TrainResult:
    """Train `method` on `data` and return the selected and the last student.

    Started by `torchrun` or `accelerate launch`, the processes learn every batch together, the first one writes, and
    all return the same. The global random generators are seeded by `settings.seed` meanwhile, and are afterwards where
    the caller left them; so a student's fresh weights follow the caller's own `torch.manual_seed` before `load_model`.

    Args:
        method: Any `Method`; its student is trained in place.
        data: Its `train` split is learned, its `validation` split chooses the epoch, its `test` split is not read.
        settings: How to train; all defaults when None.
        out: Run folder; without one nothing is written and the run cannot be resumed.
        resume: Go on from `out/last.pt`, bit-exactly.
        progress: Show a bar with an ETA.
        track: Also show everything that `out/metrics.jsonl` gets to these, on this machine: `"tensorboard"` (the folder
            `out/tensorboard`), `"trackio"`. Changes nothing about the run; may differ when it is resumed.
        **changes: Fields of `Settings` to replace, such as `epochs=20`.

    Raises:
        InputError: No such setting or tracker, an impossible value, or something else than a method and data.
        MissingExtraError: A tracker's package is not installed.
        CheckpointError: `out` holds a run, or the rest of one, and `resume` is false, its checkpoint is of another
            run, or another process is training into it.
        WriteError: `out` cannot be written, or the disk is full; what was saved before is intact.
        DataError: An image cannot be read, or a process that reads images died.
        ModelError: The networks and the data do not fit.
        NonFiniteLossError: A loss term became infinite or not a number.
        Interrupted: Ctrl-C or SIGTERM; the run was saved first.

    >>> from robustill.data import load_data
    >>> from robustill.methods import Standard
    >>> from robustill.models import load_model
    >>> data = load_data("digits", limit=60)
    >>> method = Standard(load_model("cnn_small", num_classes=10, shape=data.shape))
    >>> result = train(method, data, epochs=1, progress=False)
    >>> len(result.history), sorted(result.best)
    (1, ['clean', 'epoch', 'metric'])
    """
    check_kind("method", method, Method, "make one around networks, such as robustill.methods.RSLAD(student, teacher)")
    check_network_kind("method.student", method.student)
    check_data(data)
    settings = changed(settings, changes)
    folder = Path(out) if out is not None else None
    track = (track,) if isinstance(track, str) else track
    check_trackers(track, folder)
    # Outermost: PyTorch may notice a dead reader while the lock is released, too.
    with reader_failures(), hold(folder) if folder is not None else nullcontext():
        live = _live(track, folder, data, settings)
        with random_state_kept(), closing(live) if live is not None else nullcontext():
            return _train(method, data, settings, folder, resume, progress, live)


def _train(
    method: Method, data: Data, settings: Settings, out: Path | None, resume: bool, progress: bool, live: Live | None
) -> TrainResult:
    # What another machine has begun goes on in its arithmetic.
    began = settings_then(out) if resume and out is not None and settings.mixed_precision == "auto" else None
    run = Run(method, data, settled(settings, began), out, live)
    if resume:
        run.restore()
    else:
        if out is not None:
            run.processes.once(lambda: check_new(out))
        tell_chance(method, run.data, first=run.processes.first)
    steps = data.steps_per_epoch(settings.batch_size)
    if run.processes.first:
        tell_left_out(settings, going_on(method))
        tell_unreached(settings, run.values, steps)
    show = progress and run.processes.first
    label = f"{type(method).__name__} on {data.name}"
    with (
        stop_requests(launched=run.processes.count > 1) as stop,
        cpu_threads(settings.threads),
        torch.backends.cudnn.flags(deterministic=settings.deterministic, benchmark=not settings.deterministic),
        bar(label, settings.epochs * steps, done=run.epoch * steps + run.step, show=show) as shown,
    ):
        try:
            while run.epoch < settings.epochs:
                run.run_epoch(shown, stop)
        finally:
            run.growth.end()
        if run.processes.any(bool(stop)):
            raise Interrupted(f"stopped after the last epoch; the run is complete{f' in {out}' if out else ''}")
    return run.result()


def _live(track: Sequence[str], out: Path | None, data: Data, settings: Settings) -> Live | None:
    if not track or out is None:
        return None
    return Live(track, out, data.steps_per_epoch(settings.batch_size), settings.model_dump(mode="json"))
