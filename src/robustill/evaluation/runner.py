"""Running attacks on the examples of a split, stage by stage, into a store of verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustill.attacks import Attack, Running, Search, adversarial_points, correct
from robustill.attacks.running import Take, alike
from robustill.data import Split
from robustill.data.splits import to_unit
from robustill.evaluation.store import FALLEN, VerdictStore, example_generators
from robustill.progress import Bar, bar

CHAIN = "~"
"""In the name of a stage: what follows says what was run before it."""


@dataclass
class Runner:
    """Attacks a model on chosen images of a split.

    Args:
        model: Decides every verdict, in float32.
        split: Where the images are.
        index: Positions in the split, int64 `[n]`; verdicts are in this order.
        own: Which of these `n` this process attacks, int64.
        store: Where the verdicts go.
        device: Where to compute.
        batch_size: Images at a time.
        seed: Seed of the random draws; each belongs to (seed, stage, position in the split).
        view: Gives the form of the model that searches run on; None for the model itself.
        progress: Show a bar per stage.
    """

    model: nn.Module
    split: Split
    index: Tensor
    own: Tensor
    store: VerdictStore
    device: torch.device
    batch_size: int
    seed: int
    view: Callable[[], nn.Module | None]
    progress: bool

    def examples(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images `[k, ...]` and labels `[k]` at `at` (0..n-1)."""
        positions = self.index[at]
        x = to_unit(self.split.images(positions).to(self.device))
        return x, self.split.labels[positions].to(self.device)

    def verdicts(self, stage: str) -> Tensor:
        """Return where the prediction stays right after a finished stage, bool `[n]`."""
        return self.store.level(stage) > 0

    def begun(self, stage: str) -> bool:
        """Return whether any example of this process has got anywhere in a stage."""
        level = self.store.levels.get(stage)
        return level is not None and bool((level[self.own] != 0).any())

    def clean(self) -> None:
        """Find where the model is right without an attack."""
        self._batches("clean", self.own, lambda x, y, at: correct(self.model, x, y))

    def attack(self, name: str, attack: Attack, before: str = "clean", source: nn.Module | None = None) -> None:
        """Run an attack that needs no more than one call, on what stands in `before`; crafted on `source` if given."""
        if isinstance(attack, Search) and source is None:
            self.searches(name, [attack], before)
            return

        def judge(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
            sources = self._generators(name, at)
            return correct(self.model, adversarial_points(source or self.model, x, y, attack, generator=sources), y)

        self._batches(name, self._standing(name, before), judge)

    def searches(self, name: str, searches: Sequence[Search], before: str = "clean") -> None:
        """Run searches one after the other, each on what the ones before left standing."""
        standing, level = self._standing(name, before), self.store.level(name)
        total = len(standing) * sum(search.length for search in searches)
        done = sum(int(_over(level[standing], k).sum()) * search.length for k, search in enumerate(searches))
        if done == total:
            return
        try:
            with bar(name.partition(CHAIN)[0], total, done=done, show=self.progress, percent=True) as shown:
                for group in alike(searches):
                    later = sum(each.length for each in searches[group[-1] + 1 :])
                    self._search(name, group[0], [searches[k] for k in group], standing, later, shown)
        finally:
            # Also on Ctrl-C: what has a verdict is not attacked again.
            self.store.save()

    def _search(
        self, name: str, start: int, searches: Sequence[Search], standing: Tensor, later: int, shown: Bar
    ) -> None:
        """Run the searches number `start` and following of a stage, which are alike."""
        level, key = self.store.level(name), f"{name}#{start}"
        reached = level[standing]
        waiting = standing[(reached >= start) & (reached < start + len(searches))]
        state = self.store.rows_of(key, waiting, self.device)
        if state is not None:
            shown.advance(int((searches[0].length - state["left"]).sum()))
        running = Running(
            searches, self.model, self._take(name, start), waiting, first=level[waiting].long() - start,
            batch_size=self.batch_size, view=self.view(), state=state,
        )  # fmt: skip
        with running.modes():
            while not running.finished:
                began, taken = time.monotonic(), running.steps
                done = running.step()
                if done:
                    at, fallen = done["index"].cpu(), done["fallen"].cpu()
                    number = done["number"].cpu()
                    # Searches of one example end in their order: the last one counts.
                    for k in torch.unique(number[~fallen]).tolist():
                        level[at[~fallen & (number == k)]] = start + 1 + k
                    level[at[fallen]] = FALLEN
                    shown.advance(later * len(torch.unique(at[fallen])))
                    shown.note(f"{int((level[standing] >= 0).sum())} of {len(standing)} stand")
                shown.advance(running.steps - taken)
                self.store.flying.pop(key, None)
                if running.state is not None:
                    self.store.flying[key] = running.state
                self.store.spent(name, time.monotonic() - began)

    def _take(self, name: str, start: int) -> Take:
        def take(at: Tensor, number: int) -> tuple[Tensor, Tensor, list[torch.Generator]]:
            return *self.examples(at), self._generators(f"{name}#{start + number}", at)

        return take

    def _generators(self, key: str, at: Tensor) -> list[torch.Generator]:
        """Return the sources of a stage's random draws; they do not depend on what was run before it."""
        stage, _, rest = key.partition(CHAIN)
        search = f"#{rest.rpartition('#')[2]}" if "#" in rest else ""
        return example_generators(self.seed, stage + search, self.index[at].tolist())

    def _standing(self, name: str, before: str) -> Tensor:
        """Return what this process has to attack, after noting that the others of its share have fallen before."""
        right = self.verdicts(before)[self.own]
        self.store.level(name)[self.own[~right]] = FALLEN
        return self.own[right]

    def _batches(self, name: str, among: Tensor, judge: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        level = self.store.level(name)
        todo = among[level[among] == 0]
        if not len(todo):
            return
        try:
            with bar(name.partition(CHAIN)[0], len(among), done=len(among) - len(todo), show=self.progress) as shown:
                for at in torch.split(todo, self.batch_size):
                    began = time.monotonic()
                    right = judge(*self.examples(at), at).cpu()
                    level[at] = torch.where(right, 1, FALLEN).to(level.dtype)
                    self.store.spent(name, time.monotonic() - began)
                    shown.advance(len(at))
        finally:
            self.store.save()


def _over(level: Tensor, k: int) -> Tensor:
    """Return where search `k` of a stage is over: stood, or not needed any more."""
    return (level > k) | (level == FALLEN)
