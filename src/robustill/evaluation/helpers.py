"""Processes on the same machine that take a share of the images each: small networks use no second core otherwise."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from robustill.data import Data
from robustill.errors import InputError, RobustillError
from robustill.evaluation.request import Request, prepare
from robustill.evaluation.store import VerdictStore
from robustill.plugins import import_modules, imported_modules

_PATIENCE_S = 10.0


class Helpers:
    """Processes number 1 to `count - 1` of an evaluation, of which this process is number 0.

    Args:
        count: All processes; with 1 there is nobody to help.
        request: What is evaluated.
        model: The model.
        data: Its data.
        surrogate: The model that transfer attacks are made on.

    Raises:
        InputError: The model or the data cannot be sent to another process.
    """

    def __init__(self, count: int, request: Request, model: nn.Module, data: Data, surrogate: nn.Module | None) -> None:
        self._running: list[tuple[Any, Connection]] = []
        if count == 1:
            return
        try:
            # Bytes, not shared memory, of which containers have little.
            payload = pickle.dumps((request, model, data, surrogate))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(f"the model cannot be sent to another process: {error}", "use processes=1") from error
        context, own = get_context("spawn"), imported_modules()
        for rank in range(1, count):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(theirs, rank, count, payload, own), daemon=True)
            process.start()
            theirs.close()
            self._running.append((process, ours))

    def collect(self, store: VerdictStore) -> None:
        """Wait for the others and take over their verdicts.

        Raises:
            RobustillError: One of them failed; what it had found is on disk.
        """
        for process, pipe in self._running:
            try:
                levels, seconds, failure = pickle.loads(pipe.recv_bytes())
            except EOFError:
                levels, seconds, failure = {}, {}, f"it ended with exit code {process.exitcode}"
            if failure is not None:
                raise RobustillError(
                    f"a process of the evaluation failed: {failure}",
                    "run the same command again to go on where it was, with --processes 1 to see the cause",
                )
            store.absorb({stage: torch.from_numpy(level) for stage, level in levels.items()}, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in self._running:
            # Ctrl-C reaches all processes of a terminal; each saves what it has.
            process.join(_PATIENCE_S if kind is KeyboardInterrupt else 0.1)
            if process.is_alive():
                process.terminate()


def _work(pipe: Connection, rank: int, count: int, payload: bytes, own: Sequence[str]) -> None:
    import_modules(own)
    request, model, data, surrogate = pickle.loads(payload)
    torch.set_num_threads(1)
    levels: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    failure = None
    try:
        campaign = prepare(request, model, data, surrogate, torch.device("cpu"), (rank, count), show=False)
        campaign.attack()
        levels = {stage: level.numpy() for stage, level in campaign.run.store.levels.items()}
        seconds = campaign.run.store.seconds
    except KeyboardInterrupt:
        return
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    pipe.send_bytes(pickle.dumps((levels, seconds, failure)))
