"""The processes that learn one student together, as `torchrun` or `accelerate launch` starts them.

Each has a copy of the method and a share of every batch. After each backward pass one message adds up the gradients,
already weighted by the shares: the sum is the gradient of the whole batch, so that every copy takes the same step. Why
not `DistributedDataParallel`: it wraps one network's forward, where a method trains several and calls them as its
equations need; its hooks fire in every backward pass, where an attack makes ten of its own; and it takes the mean over
processes, which is wrong where shares differ. What it would win, sending while the backward pass still runs, is little
beside an attack that sends nothing.

All state is the same in all processes after each step: weights, buffers, optimizers, random generators. So a checkpoint
is what one process would have written, and any number of processes goes on from it.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from robustill.attacks.share import Share
from robustill.errors import InputError, RobustillError
from robustill.training.batch_norm import batch_norms, synchronised
from robustill.training.parts import Portion, portions, share_of

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
# How far copies may be apart, as a share: machines of different make round differently.
_APART = 1e-3


class Processes:
    """All processes of a run; one alone where no launcher was used, and then nothing here does anything.

    Args:
        accelerator: Knows how many there are; has connected them.
        sync_batch_norm: Whether batch norm takes its statistics from the whole batch.
    """

    def __init__(self, accelerator: Accelerator, *, sync_batch_norm: bool = True) -> None:
        self.index, self.count = accelerator.process_index, accelerator.num_processes
        self.sync_batch_norm = sync_batch_norm

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return bool(self.index == 0)

    def portions(self, size: int, parts: int) -> list[Portion]:
        """Return what this process learns of a batch of `size` that is learned in `parts`."""
        return portions(size, parts, process=self.index, processes=self.count)

    def share(self, total: int) -> Share | None:
        """Return which of `total` images are this process's; None in one process."""
        return share_of(total, self.index, self.count)

    @contextmanager
    def learning(self, method: nn.Module) -> Iterator[None]:
        """Let the batch norms of `method` know of the other processes, for a training step."""
        with synchronised(batch_norms(method) if self.count > 1 else (), always=self.sync_batch_norm):
            yield

    def combine(
        self, method: nn.Module, shared: Sequence[Portion], total: Tensor, terms: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Make the gradients, and a batch's loss and terms, those of all processes; return loss and terms."""
        values = [total.clone(), *(value.clone() for value in terms.values())]
        if self.count > 1:
            grads = [weight.grad for weight in method.parameters() if weight.grad is not None]
            self.add_up([*grads, *self._statistics(method, shared), *values])
        return values[0], dict(zip(terms, values[1:], strict=True))

    def _statistics(self, method: nn.Module, shared: Sequence[Portion]) -> list[Tensor]:
        """Return the running statistics that differ between processes, weighted, so that their sum is the mean."""
        if self.sync_batch_norm:
            return []
        moved = [norm for norm in batch_norms(method) if norm.training]
        found = [moving for norm in moved for moving in (norm.running_mean, norm.running_var)]
        weight = sum(portion.weight for portion in shared)
        return [moving.mul_(weight) for moving in found if moving is not None]

    @torch.no_grad()
    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one message."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is true in any process. All wait for each other."""
        if self.count == 1:
            return flag
        found = torch.tensor([int(flag)])
        dist.all_reduce(found, dist.ReduceOp.MAX, group=_control())
        return bool(found)

    def sum(self, value: float) -> float:
        """Return the sum of a number over the processes."""
        if self.count == 1:
            return value
        found = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(found, group=_control())
        return float(found)

    def once(self, task: Callable[[], T]) -> T:
        """Run `task` in the first process alone; return its result in all, or raise its error in all."""
        if self.count == 1:
            return task()
        answer: list[object] = [None, None]
        if self.first:
            try:
                answer[0] = task()
            except Exception as error:
                answer[1] = error
        dist.broadcast_object_list(answer, src=0, group=_control())
        if isinstance(answer[1], Exception):
            raise answer[1]
        return answer[0]  # type: ignore[return-value]

    @torch.no_grad()
    def begin(self, method: nn.Module, about: Mapping[str, str]) -> None:
        """Give every process the weights and buffers of the first.

        Args:
            method: All of its trained networks.
            about: What must be the same everywhere, by name: settings, digests of data and teachers.

        Raises:
            InputError: It is not.
        """
        if self.count == 1:
            return
        first = self.once(lambda: dict(about))
        other = sorted(name for name in first.keys() | about.keys() if first.get(name) != about.get(name))
        if self.any(bool(other)):
            which = f"process {self.index} has other {', '.join(other)}" if other else "another process differs"
            raise InputError(f"the processes do not train the same: {which}", "start all of them with the same command")
        for tensor in (*method.parameters(), *method.buffers()):
            whole = tensor.contiguous()
            dist.broadcast(whole, src=0)
            tensor.copy_(whole)

    @torch.no_grad()
    def check_alike(self, method: nn.Module) -> None:
        """Check that weights and buffers are still the same in all processes.

        Raises:
            RobustillError: Some are not; names one.
        """
        if self.count == 1:
            return
        named = {**dict(method.named_parameters()), **dict(method.named_buffers())}
        sizes = torch.stack([tensor.double().abs().sum() for tensor in named.values()])
        largest, smallest = sizes.clone(), sizes
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        dist.all_reduce(smallest, dist.ReduceOp.MIN)
        apart = largest - smallest > _APART * largest
        for name in [name for name, bad in zip(named, apart.tolist(), strict=True) if bad][:1]:
            raise RobustillError(
                f"after an epoch, {name} is not the same in all {self.count} processes",
                "a method whose state depends on the images must reduce it (robustill.methods.whole); train it in one "
                "process",
            )


@cache
def _control() -> dist.ProcessGroup | None:
    """Return the group for what never reaches a GPU: flags and objects, which must not wait for kernels."""
    # A group that is still referred to would not be left.
    atexit.register(_control.cache_clear)
    return None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")
