"""What TensorBoard shows of a training, written at once: its own writer does so in a thread, whose errors are lost."""

import io
import os
import platform
import secrets
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import scalar, text

from diffmask.files.folders import writing

_Event: Any = getattr(event_pb2, "Event")  # noqa: B009 - made when it is imported, which a checker of types cannot see


class EventFile:
    """A file of events, with those methods of torch's `SummaryWriter` that the Trainer's callback calls.

    Args:
        folder: The folder in which TensorBoard looks; made if it is missing.
    """

    def __init__(self, folder: Path):
        name = f"{int(time.time()):010d}.{platform.node()}.{os.getpid()}.{secrets.token_hex(2)}"
        self._path = folder / f"events.out.tfevents.{name}"
        self._events = [_Event(wall_time=time.time(), file_version="brain.Event:2")]

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Note a number."""
        self._add(scalar(tag, value), step)

    def add_text(self, tag: str, value: str, step: int = 0) -> None:
        """Note a text."""
        self._add(text(tag, value), step)

    def _add(self, summary: Any, step: int) -> None:
        self._events.append(_Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            InputError: If the disk is full, or the file may not be written.
        """
        records = io.BytesIO()
        for event in self._events:
            RecordWriter(records).write(event.SerializeToString())
        self._events = []
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(records.getvalue())

    close = flush
    """Write what was noted; the file is open only while it is written."""
