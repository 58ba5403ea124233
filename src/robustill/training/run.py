"""One training run, step by step and epoch by epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.errors import CheckpointError
from robustill.methods.base import Method
from robustill.models import Classifier, load_model, save_model
from robustill.progress import Bar
from robustill.training import averaging
from robustill.training.answers import Answers
from robustill.training.awp import AWP
from robustill.training.checkpoint import newest_checkpoint, random_state, restore_random_state, save_checkpoint
from robustill.training.device import accelerator_for, restore_device_generator
from robustill.training.growth import Growth
from robustill.training.hyperparameters import hyperparameters, same_each_time
from robustill.training.interrupt import Interrupted, StopRequest
from robustill.training.journal import Journal
from robustill.training.monitor import Monitor, check_finite, told
from robustill.training.networks import method_name, teacher_digests
from robustill.training.optimizer import build_learners
from robustill.training.parts import Portion, backward, positions
from robustill.training.processes import Processes
from robustill.training.result import TrainResult
from robustill.training.resume import check_same_run, check_selected
from robustill.training.schedule import decay
from robustill.training.selection import Selection
from robustill.training.settings import Settings
from robustill.training.spread import spread_teachers
from robustill.training.start import check_start
from robustill.training.track import Live
from robustill.training.views import choose_views, forget_views, tell
from robustill.writing import make_folder


class Run:
    """The state of one training run: what a step changes, what a checkpoint holds, what a resumed run restores."""

    def __init__(
        self, method: Method, data: Data, settings: Settings, out: Path | None, live: Live | None = None
    ) -> None:
        self.settings, self.out, self.live = settings, out, live
        self.checkpoint = out / "last.pt" if out is not None else None
        self.accelerator = accelerator_for(settings)
        self.processes = Processes(self.accelerator, sync_batch_norm=settings.sync_batch_norm)
        if out is not None:
            self.processes.once(lambda: make_folder(out))
        self.device = self.accelerator.device
        torch.manual_seed(settings.seed)
        if settings.awp.gamma > 0:
            method = AWP(method, gamma=settings.awp.gamma, warmup=settings.awp.warmup)
        forget_views(method)
        self.growth = Growth(method, settings.first_attack_steps)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.method = method.to(self.device)
        if settings.channels_last:
            self.method.to(memory_format=layout)  # type: ignore[call-overload]
        self.data = data.to(self.device)
        check_start(method, self.data, settings, out, self.device, self.processes.count)
        self.layout = layout
        self.answers = Answers(self.data, settings)
        method.begin_run(self.data.train)
        self.method_name = method_name(method)
        self.values = {**hyperparameters(method), "data.augment": same_each_time(data.augment)}
        self.digests = {"data": data.digest, **teacher_digests(method)}
        self.processes.begin(method, {"settings": repr(self._settings()), **self.digests})
        spread = settings.spread_teachers and self.processes.count > 1
        if spread:
            spread_teachers(method, self.device, self.processes.count)
        rows = self.processes.portions(settings.batch_size, settings.micro_batches)[0].own.stop
        excuses = choose_views(method, self.data, settings, self.device, None if spread else self.answers, rows)
        if self.processes.first:
            tell(excuses, settings)
        self.learners = build_learners(method, settings)
        for learner in self.learners.values():
            learner.optimizer = self.accelerator.prepare(learner.optimizer)
        self.averaged = averaging.averaged(method.student, settings.average)
        self.selection = Selection(method, self.data, settings, self.processes)
        self.monitor = Monitor()
        self.epoch = self.step = 0
        self.portions: list[Portion] = []
        self.history: list[dict[str, Any]] = []
        self.selected: nn.Module | None = None
        self.journal: Journal | None = None

    def _journal_path(self) -> Path | None:
        return self.out / "metrics.jsonl" if self.out is not None and self.processes.first else None

    def run_epoch(self, shown: Bar, stop: StopRequest) -> None:
        """Train the rest of the current epoch, judge its student and save."""
        settings = self.settings
        self.monitor.begin()
        if self.journal is None:
            self.journal = Journal(self._journal_path(), live=self.live)
        self.method.train()
        self.growth.begin_epoch(self.epoch, settings.epochs)
        self.method.begin_epoch(self.epoch, decay(settings.schedule, self.epoch, settings.epochs), settings.epochs)
        batches = self._batches(self.step, self._own)
        for (x, y), rows in zip(batches, self.answers.order(self.epoch, self.step), strict=True):
            self.portions = self.processes.portions(len(rows), settings.micro_batches)
            self.answers.begin(rows[positions(self.portions)])
            self._train_step(x, y)
            shown.advance()
            if self.step % settings.log_steps == 0:
                self._log()
                shown.note(f"epoch {self.epoch + 1}/{settings.epochs} loss {self.monitor.latest['loss']:.4f}")
            if settings.checkpoint_steps and self.step % settings.checkpoint_steps == 0:
                self.save()
            if self.processes.any(bool(stop)):
                self._leave()
        self._end_epoch()
        shown.line(told(self.history[-1], settings.epochs))

    def _own(self, size: int) -> Tensor:
        """Return which images of a batch of `size` this process learns."""
        return positions(self.processes.portions(size, self.settings.micro_batches))

    def _batches(self, start: int, own: Callable[[int], Tensor] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        settings = self.settings
        return self.data.batches(
            self.epoch,
            batch_size=settings.batch_size,
            seed=settings.seed,
            start=start,
            device=self.device,
            workers=settings.workers,
            own=own if self.processes.count > 1 else None,
        )

    def _train_step(self, x: Tensor, y: Tensor) -> None:
        settings = self.settings
        position = self.epoch + self.step / self.data.steps_per_epoch(settings.batch_size)
        for learner in self.learners.values():
            learner.set_lr(position, settings.epochs)
        x = x.contiguous(memory_format=self.layout)
        with self.processes.learning(self.method):
            total, terms = backward(self.method, x, y, settings, self.accelerator, self.answers, self.portions)
        total, terms = self.processes.combine(self.method, self.portions, total, terms)
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

    def _end_epoch(self) -> None:
        assert self.journal is not None
        self._check_finite()
        self.processes.check_alike(self.method)
        self.method.end_epoch()
        candidate = self._candidate()
        line: dict[str, Any] = {"epoch": self.epoch, **self.monitor.means()}
        if self.selection.due(self.epoch):
            scores, better = self.selection.judge(candidate, self.epoch)
            line["validation"] = scores
            line |= self.selection.probe(self.method, candidate) | self.selection.watch(candidate)
            if better:
                self._keep(candidate)
        self.history.append(line)
        self.journal.write("epoch", **line, seconds=round(self.monitor.seconds, 3))
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
        self.monitor.flush(self.epoch)
        check_finite(self.method, self.epoch, self.step)

    def _keep(self, candidate: nn.Module) -> None:
        self.selected = copy.deepcopy(candidate)
        # Before the checkpoint that names it: a crash in between only repeats this epoch.
        self._write(candidate, "student.safetensors")

    def _write(self, candidate: nn.Module, name: str) -> None:
        if self.out is not None and self.processes.first:
            extra = {"method": self.method_name, "data": self.data.name, "epoch": str(self.epoch)}
            save_model(candidate, self.out / name, class_names=self.data.class_names, extra=extra)

    def _leave(self) -> None:
        self.monitor.flush(self.epoch)
        self.save()
        # A process that ends early makes the launcher end the one that is still writing.
        self.processes.any(False)
        where = f"epoch {self.epoch + 1}, step {self.step}"
        if self.out is None:
            raise Interrupted(f"stopped at {where}; without a run folder nothing was saved")
        raise Interrupted(f"stopped at {where}; everything is saved in {self.out}; go on with --resume (resume=True)")

    def save(self) -> None:
        """Write the checkpoint, from which `restore` continues bit-exactly."""
        if self.checkpoint is None or self.journal is None:
            return
        self._check_finite()
        if not self.processes.first:
            return
        self.journal.sync()
        state = {
            "settings": self._settings(),
            "digests": self.digests,
            "values": self.values,
            "method": self.method.state_dict(),
            "optimizers": {name: learner.optimizer.state_dict() for name, learner in self.learners.items()},
            "averaged": self.averaged.state_dict() if self.averaged is not None else None,
            "epoch": self.epoch,
            "step": self.step,
            "monitor": self.monitor.state(),
            "best": self.selection.best,
            "history": self.history,
            "metrics_bytes": self.journal.size,
            "random": {**random_state(), "device": self.device.index or 0},
        }
        save_checkpoint(state, self.checkpoint)

    def _settings(self) -> dict[str, Any]:
        return {"method": self.method_name, **self.settings.model_dump(mode="json")}

    def restore(self) -> None:
        """Continue from the run folder's checkpoint.

        Raises:
            CheckpointError: Missing, damaged, or of a run with another method, settings, data or teachers.
        """
        if self.checkpoint is None or self.out is None:
            raise CheckpointError("nothing to resume from", "give the run folder: out=...")
        path, folder = self.checkpoint, self.out
        state = self.processes.once(lambda: newest_checkpoint(path))
        try:
            check_same_run(path, state, self._settings(), self.digests, self.values)
            self._take(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise CheckpointError(
                f"{self.checkpoint} does not fit this run: {type(error).__name__}: {reason}",
                "resume with the networks of the run, or start anew in another folder",
            ) from error
        if self.selection.best:
            self.processes.once(lambda: check_selected(folder))

    def _take(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state["method"])
        for name, learner in self.learners.items():
            learner.optimizer.load_state_dict(state["optimizers"][name])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.monitor.restore(state["monitor"])
        self.selection.best, self.history = state["best"], state["history"]
        self.journal = Journal(self._journal_path(), state["metrics_bytes"], self.live)
        restore_random_state(state["random"])
        restore_device_generator(self.device, state["random"])

    def result(self) -> TrainResult:
        """Return the students of a finished run."""
        last: nn.Module = self.method.student
        if self.averaged is not None and int(self.averaged.n_averaged):
            last = self.averaged.module
        if self.selected is None and self.out is not None and self.selection.best:
            self.selected = load_model(self.out / "student.safetensors").to(self.device)
        selected = self.selected if self.selected is not None else last
        return TrainResult(selected.eval(), last.eval(), self.selection.best, self.history)
