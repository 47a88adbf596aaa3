"""TensorBoard's event file, written step by step in this process.

tensorboardX's own SummaryWriter keeps a thread and a queue, which a kill would cut; its record writer alone will do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter  # type: ignore[import-untyped]
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]


class EventFile:
    """A new `events.out.tfevents...` in a run's folder."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """TensorBoard will drop what older event files of the folder say about steps from `first_step` on."""
        self._writer = EventsWriter(str(folder / "events"), f".{os.getpid()}.{first_step}")
        if first_step:
            start = Event(wall_time=time.time(), step=first_step, session_log=SessionLog(status=SessionLog.START))
            self._writer.write_event(start)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Values by TensorBoard's tags at a step."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """No more values."""
        self._writer.close()
