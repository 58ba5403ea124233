"""TensorBoard's event files, written as records: without its threads, TensorFlow or a server."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.writing import make_folder

_NAME = "events.out.tfevents.{:010d}.robustill"


class TensorBoard:
    """The folder `tensorboard` of a run; `tensorboard --logdir` of any folder above shows it.

    Args:
        out: The run folder. Event files that robustill left in its `tensorboard` are emptied.
        settings: Of the run; not shown.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = out / "tensorboard"
        make_folder(folder)
        old = sorted(folder.glob(_NAME.replace("{:010d}", "*")))
        last = max((int(path.name.split(".")[3]) for path in old), default=0)
        path = folder / _NAME.format(max(int(time.time()), last + 1))
        for each in old[:-1]:
            each.unlink()
        for each in old[-1:]:
            # A server that is looking on reads files in the order of their names, and loses its way if its own is gone.
            os.truncate(each, 0)
        self._event, self._summary = Event, Summary
        self._records: Any = RecordWriter(path.open("xb"))
        self._put(file_version="brain.Event:2")
        # Forget what such a server knows.
        self._put(step=0, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values of a step and push them to the file at once."""
        shown = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._put(step=step, summary=self._summary(value=shown))

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _put(self, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())
        self._records.flush()
