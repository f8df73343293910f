"""The program that probes files one after the other, each in a fork of its own, so that libraries are loaded once.

It reads a request, a line of JSON, and writes its answer, another line, until its input ends: see `probe_all`.

Why not a pool of workers from a library: it kills the worker that hangs, but not what the worker started, nor the
worker itself when the asking program is killed outright; and it runs the script of its user once more in each worker.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import av  # noqa: F401 - loaded here, so that no fork has to

from diffmask.video.clip.clip import OK, TOO_SLOW, Clip
from diffmask.video.index.examine import examine
from diffmask.video.read.read_torchcodec import load_decoder


def _main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the program that asks
    with contextlib.suppress(ImportError, OSError):  # where it is not installed, each clip says so in its reason
        import decord  # noqa: F401
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_answer(**request).to_row()), flush=True)


def _answer(path: str, time_limit: float, reader: str) -> Clip:
    if reader == "torchcodec":
        load_decoder()  # once, because it is slow
    outcome = _run_isolated(partial(_rows, path, reader), time_limit, sys.stdin.fileno())
    if outcome.stopped_by == "abandoned":
        sys.exit(1)
    clip = Clip.from_row(outcome.last) if outcome.last else Clip.of_file(path)
    if not outcome.stopped_by and not outcome.error:
        return clip
    is_late = outcome.stopped_by == "timeout"
    what = f"{TOO_SLOW} {time_limit:g} s" if is_late else f"crashed ({outcome.stopped_by})"
    if clip.status == OK and clip.reader and reader == "auto":  # PyAV had read it; only decord failed
        return clip.with_reason(f"decord failed ({outcome.error})" if outcome.error else f"decord {what}")
    if outcome.error:
        return clip.put_aside("unreadable", f"reading it failed ({outcome.error})")
    who = "probing it" if is_late else "the decoder"
    return clip.put_aside("timeout" if is_late else "crashed", f"{who} {what}")


def _rows(path: str, reader: str) -> Iterator[dict[str, Any]]:
    for clip in examine(path, reader):
        yield clip.to_row()


@dataclass
class _Outcome:
    """What came of a function: the last value it yielded, and what stopped it ("" if nothing did)."""

    last: Any = None
    stopped_by: str = ""
    """"timeout", "abandoned", or the name of a signal such as "SIGSEGV"."""
    error: str = ""
    """The last line of the exception that it raised."""


def _run_isolated(function: Callable[[], Iterator[Any]], time_limit: float, asker: int | None = None) -> _Outcome:
    """Run a function in a fork with a process group of its own; the whole group is killed in the end.

    The calling program must have one thread, and nothing open that a fork would break.

    Args:
        function: Yields values that can be pickled; it may crash, hang or print.
        time_limit: Seconds.
        asker: A file descriptor that becomes readable when nobody wants the answer any more.
    """
    reading, writing = Pipe(duplex=False)
    child = get_context("fork").Process(target=_run, args=(function, writing))
    child.start()
    writing.close()
    assert child.pid
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(child.pid, child.pid)  # parent and child both do it: either may come first
    outcome = _Outcome(stopped_by="abandoned")
    try:
        outcome.stopped_by = _collect(outcome, reading, time.monotonic() + time_limit, asker)
    finally:
        if outcome.stopped_by:
            _kill_group(child.pid)
        child.join()
        _kill_group(child.pid)  # what a function that returned has left running
        reading.close()
    if not outcome.stopped_by and (child.exitcode or 0) < 0:
        outcome.stopped_by = signal.Signals(-(child.exitcode or 0)).name
    return outcome


def _collect(outcome: _Outcome, reading: Any, deadline: float, asker: int | None) -> str:
    """Take what the child sends until it ends, time is up or nobody asks any more; return what stopped it."""
    while True:
        ready = wait([reading] if asker is None else [reading, asker], max(0.0, deadline - time.monotonic()))
        if reading in ready:
            try:
                name, value = reading.recv()
            except (EOFError, OSError):  # OSError: it crashed in the middle of a message
                return ""
            setattr(outcome, name, value)
        else:
            return "abandoned" if ready else "timeout"


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _run(function: Callable[[], Iterator[Any]], writing: Connection) -> None:
    """Be the child: silent, and with the usual answers to signals."""
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for file in (0, 1, 2):
        os.dup2(nowhere, file)
    try:
        for value in function():
            writing.send(("last", value))
    except Exception:
        # told, not hidden: it becomes the reason why a file is put aside
        writing.send(("error", traceback.format_exc().strip().rsplit("\n", 1)[-1]))


if __name__ == "__main__":
    _main()
