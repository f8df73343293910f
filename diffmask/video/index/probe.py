"""Probe files of video in throw-away processes, several at once: no file can stop, crash or hang who asks.

A function in a process of its own, which may crash, hang or print what it likes.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip

TIME_LIMIT = 30.0
"""Seconds for one file."""
_LAST_SECONDS = 5.0
"""For a process to end when its input has ended."""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def probe(path: str | Path, *, time_limit: float = TIME_LIMIT, reader: str = "auto") -> Clip:
    """Return what is in a file of video, who reads it right, or why it cannot be used.

    Args:
        path: Anything: what is no video gets a status that says so.
        time_limit: Seconds, after which the probing is killed.
        reader: The only reader to try; "auto" prefers decord and takes PyAV where decord is wrong.
    """
    return next(probe_all([path], time_limit=time_limit, reader=reader))


def probe_all(
    paths: Sequence[str | Path], *, num_processes: int = 1, time_limit: float = TIME_LIMIT, reader: str = "auto"
) -> Iterator[Clip]:
    """Yield the clips of files as they are found, which is not the order of the files.

    Args:
        paths: Files.
        num_processes: How many are probed at the same moment.
        time_limit: Seconds for each.
        reader: See `probe`.
    """
    num_processes = min(num_processes, len(paths))
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max(1, num_processes)))
        free: SimpleQueue[_Prober] = SimpleQueue()
        # closed before the pool is: a thread that waits for an answer gets none, and ends
        probers = [stack.enter_context(_Prober(time_limit, reader)) for _ in range(num_processes)]
        for prober in probers:
            free.put(prober)

        def ask(path: str) -> Clip:
            prober = free.get()
            try:
                return prober.ask(path)
            finally:
                free.put(prober)

        waiting: set[Future[Clip]] = set()
        for path in paths:
            waiting.add(pool.submit(ask, os.path.abspath(path)))
            if len(waiting) > 2 * num_processes:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)


class _Prober:
    """A process of `prober`, started again when it is gone."""

    def __init__(self, time_limit: float, reader: str):
        self._settings = {"time_limit": time_limit, "reader": reader}
        self._is_closed = False

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_) -> None:
        self._is_closed = True
        self._stop()

    def ask(self, path: str) -> Clip:
        """Return the answer for one file."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"path": path, **self._settings}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except (BrokenPipeError, ValueError):
            answer = ""
        if answer:
            return Clip.from_row(json.loads(answer))
        return self._explain(path)

    def _explain(self, path: str) -> Clip:
        """Return what to say of a file while the process that probed it was ended by something else."""
        status = self._process.wait()
        if self._is_closed:
            return Clip(path, "crashed", "probing was given up")
        if status >= 0:
            assert self._process.stderr
            raise InputError(f"clips cannot be probed: {self._process.stderr.read().strip().rsplit(chr(10), 1)[-1]}")
        self._stop()
        self._start()
        name = signal.Signals(-status).name
        return Clip(path, "crashed", f"the process that probed it was killed ({name}), perhaps for want of memory")

    def _start(self) -> None:
        package = str(Path(__file__).parents[3])
        found = os.environ.get("PYTHONPATH")
        settings = {"PYTHONPATH": os.pathsep.join([package, found] if found else [package])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "diffmask.video.index.probe_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings, **dict.fromkeys(_ONE_THREAD, "1")},
            start_new_session=True,
        )

    def _stop(self) -> None:
        """End the process and give its pipes back.

        It ends, and what it started, when its input does; a signal could be lost between two of its reads.
        """
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


_READ_BYTES = 1 << 16


@dataclass
class _Outcome:
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


def run_isolated(function: Callable[[], Iterator[Any]], time_limit: float, asker: int | None = None) -> _Outcome:
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
    outcome = _Outcome()
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


def _collect(outcome: _Outcome, reading: int, deadline: float, asker: int | None) -> None:
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
