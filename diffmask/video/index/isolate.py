"""A function in a process of its own, which may crash, hang or print what it likes."""

import contextlib
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_READ_BYTES = 1 << 16


@dataclass
class Outcome:
    """What came of a function: the last of what it yielded, and what stopped it ("" if nothing did)."""

    last: Any = None
    stopped_by: str = ""
    """One of "timeout", "abandoned" and the name of a signal such as "SIGSEGV"."""
    error: str = ""
    """The last line of an exception that it raised."""
    _rest: bytes = field(default=b"", repr=False)

    def take(self, content: bytes) -> None:
        """Take lines of JSON as they come."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            kind, value = json.loads(line)
            setattr(self, kind, value)


def run_isolated(function: Callable[[], Iterator[Any]], time_limit: float, asker: int | None = None) -> Outcome:
    """Run a function in a forked process of its own group, which is killed at its end or after a time.

    The process that calls must have one thread and nothing open that does not bear a fork.

    Args:
        function: Yields values that JSON can hold.
        time_limit: Seconds.
        asker: A file that becomes readable when nobody wants the answer any more.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_and_exit(function, writing)
    os.close(writing)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(child, child)  # both do it: whoever comes first
    outcome = Outcome()
    try:
        _collect(outcome, reading, time.monotonic() + time_limit, asker)
    except BaseException:
        outcome.stopped_by = "abandoned"
        raise
    finally:
        os.close(reading)
        status = _end(child, kill=bool(outcome.stopped_by))
    if not outcome.stopped_by and status < 0:
        outcome.stopped_by = signal.Signals(-status).name
    return outcome


def _end(child: int, *, kill: bool) -> int:
    """Return the exit status of a child, of whose group nothing is left; it is about to exit if it is not killed."""

    def kill_group() -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)

    if kill:
        kill_group()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    kill_group()
    return status


def _collect(outcome: Outcome, reading: int, deadline: float, asker: int | None) -> None:
    """Read what the child writes until it ends, the time is over, or nobody asks for it."""
    asked = [] if asker is None else [asker]
    while True:
        left = deadline - time.monotonic()
        ready = select.select([reading, *asked], [], [], left)[0] if left > 0 else []
        if reading in ready:
            content = os.read(reading, _READ_BYTES)
            if not content:
                return
            outcome.take(content)
        elif not ready:
            outcome.stopped_by = "timeout"
            return
        else:
            outcome.stopped_by = "abandoned"
            return


def _run_and_exit(function: Callable[[], Iterator[Any]], writing: int) -> None:
    """Be the child: silent, and gone at the end without the cleaning up of the parent's things."""
    status = 1
    try:
        os.setpgid(0, 0)
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(nowhere, file)
        with open(writing, "wb", buffering=0) as lines:
            try:
                for value in function():
                    lines.write(json.dumps(["last", value]).encode() + b"\n")
            except Exception:
                # told, not hidden: it becomes the reason of a file that is put aside
                error = traceback.format_exc().strip().rsplit("\n", 1)[-1]
                lines.write(json.dumps(["error", error]).encode() + b"\n")
        status = 0
    finally:
        os._exit(status)
