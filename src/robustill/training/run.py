"""One training run, step by step and epoch by epoch."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.errors import CheckpointError, NonFiniteLossError
from robustill.methods.base import Method
from robustill.models import Classifier, load_model, save_model
from robustill.progress import Bar
from robustill.training import averaging
from robustill.training.answers import Answers
from robustill.training.awp import AWP
from robustill.training.checkpoint import random_state, read_checkpoint, restore_random_state, save_checkpoint
from robustill.training.device import accelerator_for
from robustill.training.growth import Growth
from robustill.training.interrupt import Interrupted, StopRequest
from robustill.training.journal import Journal
from robustill.training.monitor import Monitor
from robustill.training.networks import check_networks, method_name, teacher_digests, teachers
from robustill.training.optimizer import build_learners
from robustill.training.parts import backward, check_micro_batches
from robustill.training.schedule import decay
from robustill.training.selection import Selection
from robustill.training.settings import Settings
from robustill.training.views import install_views


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves behind.

    Args:
        student: The selected student (best on the validation split), in eval mode.
        student_last: The student of the last epoch.
        best: `{"epoch": ..., "clean": ..., "robust": ...}` of the selected one; empty without a validation split.
        history: One dictionary per epoch.
    """

    student: nn.Module
    student_last: nn.Module
    best: dict[str, Any]
    history: list[dict[str, Any]]


class Run:
    """The state of one training run: what a step changes, what a checkpoint holds, what a resumed run restores."""

    def __init__(self, method: Method, data: Data, settings: Settings, out: Path | None) -> None:
        self.settings, self.out = settings, out
        self.checkpoint = out / "last.pt" if out is not None else None
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        self.accelerator = accelerator_for(settings)
        self.device = self.accelerator.device
        torch.manual_seed(settings.seed)
        if settings.awp.gamma > 0:
            method = AWP(method, gamma=settings.awp.gamma, warmup=settings.awp.warmup)
        check_micro_batches(method, settings)
        self.growth = Growth(method, settings.first_attack_steps)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.method = method.to(self.device)
        if settings.channels_last:
            self.method.to(memory_format=layout)  # type: ignore[call-overload]
        self.data = data.to(self.device)
        check_networks(method, self.data, self.device)
        self.layout = layout
        self.answers = Answers(self.data, settings)
        method.begin_run(self.data.train)
        self._install_views()
        self.learners = build_learners(method, settings)
        for learner in self.learners.values():
            learner.optimizer = self.accelerator.prepare(learner.optimizer)
        self.averaged = averaging.averaged(method.student, settings.average)
        self.selection = Selection(method, self.data, settings)
        self.method_name = method_name(method)
        self.digests = {"data": data.digest, **teacher_digests(method)}
        self.monitor = Monitor()
        self.epoch = self.step = 0
        self.history: list[dict[str, Any]] = []
        self.selected: nn.Module | None = None
        self.journal: Journal | None = None

    def _install_views(self) -> None:
        if not self.settings.attack_view:
            for teacher in teachers(self.method).values():
                teacher.use(self.answers.of(teacher.network, teacher.network))
            return
        x, _ = next(iter(self.data.train.batches(8, device=self.device)))
        dtype = torch.bfloat16 if self.settings.mixed_precision == "bf16" else torch.float32
        layout = self.settings.channels_last
        excuses = install_views(self.method, x, dtype, channels_last=layout, teacher_as=self.answers.of)
        for name, why in excuses.items():
            sys.stderr.write(f"note: {name} is attacked as it is, without folding or in float32: {why}\n")

    def run_epoch(self, shown: Bar, stop: StopRequest) -> None:
        """Train the rest of the current epoch, judge its student and save."""
        settings, began = self.settings, time.monotonic()
        if self.journal is None:
            self.journal = Journal(self.out / "metrics.jsonl" if self.out is not None else None)
        self.method.train()
        self.growth.begin_epoch(self.epoch, settings.epochs)
        self.method.begin_epoch(self.epoch, decay(settings.schedule, self.epoch, settings.epochs), settings.epochs)
        for (x, y), rows in zip(self._batches(self.step), self.answers.order(self.epoch, self.step), strict=True):
            self.answers.begin(rows)
            self._train_step(x, y)
            shown.advance()
            if self.step % settings.log_steps == 0:
                self._log()
                shown.note(f"epoch {self.epoch + 1}/{settings.epochs} loss {self.monitor.latest['loss']:.4f}")
            if settings.checkpoint_steps and self.step % settings.checkpoint_steps == 0:
                self.save()
            if stop:
                self._leave()
        self._end_epoch(began)

    def _batches(self, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        settings = self.settings
        return self.data.batches(
            self.epoch,
            batch_size=settings.batch_size,
            seed=settings.seed,
            start=start,
            device=self.device,
            workers=settings.workers,
        )

    def _train_step(self, x: Tensor, y: Tensor) -> None:
        settings = self.settings
        position = self.epoch + self.step / self.data.steps_per_epoch(settings.batch_size)
        for learner in self.learners.values():
            learner.set_lr(position, settings.epochs)
        x = x.contiguous(memory_format=self.layout)
        total, terms = backward(self.method, x, y, settings, self.accelerator, self.answers)
        for learner in self.learners.values():
            if settings.clip_norm is not None:
                self.accelerator.clip_grad_norm_(learner.network.parameters(), settings.clip_norm)
            learner.optimizer.step()
            learner.optimizer.zero_grad()
        self.method.after_step()
        if self.averaged is not None and averaging.due(settings.average, self.epoch, end_of_epoch=False):
            self.averaged.update_parameters(self.method.student)
        self.monitor.add(self.step, total, terms)
        self.step += 1

    def _log(self) -> None:
        assert self.journal is not None
        self.monitor.flush(self.epoch)
        lr = self.learners["student"].optimizer.param_groups[0]["lr"]
        self.journal.write("step", epoch=self.epoch, step=self.step, lr=lr, **self.monitor.latest)

    def _end_epoch(self, began: float) -> None:
        assert self.journal is not None
        self._check_finite()
        self.method.end_epoch()
        candidate = self._candidate()
        line: dict[str, Any] = {"epoch": self.epoch, **self.monitor.means()}
        if self.selection.due(self.epoch):
            scores, better = self.selection.judge(candidate, self.epoch)
            line["validation"] = scores
            line |= self.selection.probe(self.method) | self.selection.watch(candidate)
            if better:
                self._keep(candidate)
        self.history.append(line)
        self.journal.write("epoch", **line, seconds=round(time.monotonic() - began, 3))
        if self.epoch + 1 == self.settings.epochs:
            self._write(candidate, "student_last.safetensors")
            if not self.selection.best:
                self._write(candidate, "student.safetensors")
            for name, learner in self.learners.items():
                if name != "student" and isinstance(learner.network, Classifier):
                    self._write(learner.network, f"{name}_last.safetensors")
        self.epoch, self.step, self.monitor = self.epoch + 1, 0, Monitor()
        self.save()

    def _candidate(self) -> nn.Module:
        settings, student = self.settings.average, self.method.student
        if self.averaged is None:
            return student
        if averaging.due(settings, self.epoch, end_of_epoch=True):
            self.averaged.update_parameters(student)
        if not int(self.averaged.n_averaged):
            return student
        if averaging.wants_statistics(settings):
            averaging.reestimate_batch_norm(self.averaged.module, self._batches(0))
        return self.averaged.module

    def _check_finite(self) -> None:
        """A finite loss may have had an infinite gradient: such weights must not replace good ones on disk."""
        self.monitor.flush(self.epoch)
        for name, weight in self.method.named_parameters():
            if not bool(weight.isfinite().all()):
                raise NonFiniteLossError(
                    f"epoch {self.epoch + 1}, step {self.step}: the gradient was not finite, and so is {name} now",
                    "lower optimizer.lr, set clip_norm, or train in float32; what was saved before is intact",
                )

    def _keep(self, candidate: nn.Module) -> None:
        self.selected = copy.deepcopy(candidate)
        # Before the checkpoint that names it: a crash in between only repeats this epoch.
        self._write(candidate, "student.safetensors")

    def _write(self, candidate: nn.Module, name: str) -> None:
        if self.out is not None:
            extra = {"method": self.method_name, "data": self.data.name, "epoch": str(self.epoch)}
            save_model(candidate, self.out / name, class_names=self.data.class_names, extra=extra)

    def _leave(self) -> None:
        self.monitor.flush(self.epoch)
        self.save()
        where = f"epoch {self.epoch + 1}, step {self.step}"
        if self.out is None:
            raise Interrupted(f"stopped at {where}; without a run folder nothing was saved")
        raise Interrupted(f"stopped at {where}; everything is saved in {self.out}; go on with --resume")

    def save(self) -> None:
        """Write the checkpoint, from which `restore` continues bit-exactly."""
        if self.checkpoint is None or self.journal is None:
            return
        self._check_finite()
        state = {
            "settings": {"method": self.method_name, **self.settings.model_dump(mode="json")},
            "digests": self.digests,
            "method": self.method.state_dict(),
            "optimizers": {name: learner.optimizer.state_dict() for name, learner in self.learners.items()},
            "averaged": self.averaged.state_dict() if self.averaged is not None else None,
            "epoch": self.epoch,
            "step": self.step,
            "monitor": self.monitor.state(),
            "best": self.selection.best,
            "history": self.history,
            "metrics_bytes": self.journal.size,
            "random": random_state(),
        }
        save_checkpoint(state, self.checkpoint)

    def restore(self) -> None:
        """Continue from the run folder's checkpoint.

        Raises:
            CheckpointError: Missing, damaged, or of a run with other settings, data or teachers.
        """
        if self.checkpoint is None or self.out is None:
            raise CheckpointError("nothing to resume from", "give the run folder: out=...")
        state = read_checkpoint(self.checkpoint)
        try:
            self._check_same_run(state)
            self._take(state, self.out)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise CheckpointError(
                f"{self.checkpoint} does not fit this run: {type(error).__name__}: {reason}",
                "resume with the networks of the run, or start anew in another folder",
            ) from error

    def _take(self, state: dict[str, Any], out: Path) -> None:
        self.method.load_state_dict(state["method"])
        for name, learner in self.learners.items():
            learner.optimizer.load_state_dict(state["optimizers"][name])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.monitor.restore(state["monitor"])
        self.selection.best, self.history = state["best"], state["history"]
        self.journal = Journal(out / "metrics.jsonl", state["metrics_bytes"])
        restore_random_state(state["random"])

    def _check_same_run(self, state: dict[str, Any]) -> None:
        now = {"method": self.method_name, **self.settings.model_dump(mode="json")}
        then = {**state["settings"], "device": now["device"]}
        other = [f"{k}: {v} then, {now.get(k)} now" for k, v in then.items() if v != now.get(k)]
        other += [f"{k} has changed" for k, v in self.digests.items() if state["digests"].get(k) != v]
        if other:
            raise CheckpointError(
                f"{self.checkpoint} belongs to another run: {'; '.join(other)}",
                "resume with the settings, data and teachers of the run, or start anew in another folder",
            )

    def result(self) -> TrainResult:
        """Return the students of a finished run."""
        last: nn.Module = self.method.student
        if self.averaged is not None and int(self.averaged.n_averaged):
            last = self.averaged.module
        if self.selected is None and self.out is not None and self.selection.best:
            self.selected = load_model(self.out / "student.safetensors").to(self.device)
        selected = self.selected if self.selected is not None else last
        return TrainResult(selected.eval(), last.eval(), self.selection.best, self.history)
