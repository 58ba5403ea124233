"""What must hold before a run goes on from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.errors import CheckpointError, ModelError
from robustill.models import load_model
from robustill.training.checkpoint import has_checkpoint

# Settings that a run may go on with others of: where it computes, and how it reads and writes. Not the threads: sums of
# other parts round otherwise.
OPERATIONAL = ("device", "workers", "log_steps", "checkpoint_steps")


def check_same_run(
    path: Path,
    state: Mapping[str, Any],
    settings: dict[str, Any],
    digests: Mapping[str, str],
    values: Mapping[str, Any],
) -> None:
    """Check that a checkpoint is of this run; what is `OPERATIONAL` may be another, and so may the number of processes.

    Args:
        path: Where the checkpoint is.
        state: The checkpoint.
        settings: Of this run.
        digests: Of its data and teachers.
        values: Of its method and augmentation; compared where the checkpoint has them, older ones have none.

    Raises:
        CheckpointError: Method, settings, data or teachers have changed; says which.
        ValueError: It stands where no run can.
    """
    then = {**state["settings"], **{key: settings[key] for key in OPERATIONAL}}
    other = [f"{k}: {v} then, {settings.get(k)} now" for k, v in then.items() if v != settings.get(k)]
    known = state.get("values", {})
    other += [f"{k}: {known[k]} then, {v} now" for k, v in values.items() if k in known and v != known[k]]
    other += [f"{k} has changed" for k, v in digests.items() if state["digests"].get(k) != v]
    if other:
        raise CheckpointError(
            f"{path} belongs to another run: {'; '.join(other)}",
            "resume with the method, settings, data and teachers of the run, or start anew in another folder",
        )
    for name, most in (("epoch", settings["epochs"]), ("step", None), ("metrics_bytes", None)):
        value = state[name]
        if type(value) is not int or value < 0 or (most is not None and value > most):
            raise ValueError(f"{name} is {value!r}")


def check_new(folder: Path) -> None:
    """Check that a run may begin in `folder`: what it writes would take the place of another's.

    What a run leaves that was killed before its first checkpoint may go: its journal has one epoch at most.

    Raises:
        CheckpointError: There is a run, or what is left of one.
    """
    if has_checkpoint(folder):
        raise CheckpointError(f"{folder} already holds a run", "pass --resume to go on, or choose another --out")
    journal = folder / "metrics.jsonl"
    judged = journal.read_bytes().count(b'{"kind": "epoch"') if journal.is_file() else 0
    if judged > 1 or (folder / "student_last.safetensors").exists():
        raise CheckpointError(
            f"{folder} holds a run without its checkpoint (last.pt), which cannot go on and would be overwritten",
            "choose another --out, or remove metrics.jsonl and student_last.safetensors to train it anew",
        )


def check_selected(folder: Path) -> None:
    """That the best student so far, in a file of its own, is lost must not come to light after the last epoch.

    Raises:
        CheckpointError: It is.
    """
    try:
        load_model(folder / "student.safetensors")
    except ModelError as error:
        raise CheckpointError(
            f"the best student so far is lost: {error.message}", "start anew in another folder"
        ) from error
