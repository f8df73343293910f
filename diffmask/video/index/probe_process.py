"""The program that probes files one after the other, in a fork that no file can outlast, so that libraries load once.

It reads a request, a line of JSON, and writes its answer, another line, until its input ends: see `probe_all`.

A fork serves many files. One that crashes, or whose examination raises, is probed once more in a fork of its own, so
what is said of a file never depends on those that were probed before it.

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
from typing import Any, Self

import av  # noqa: F401 - loaded here, so that no fork has to

from diffmask.core.processes import end_with
from diffmask.video.clip.clip import OK, TOO_SLOW, Clip
from diffmask.video.index.examine import examine
from diffmask.video.read.read_torchcodec import load_decoder

_MAX_FILES = 100
"""Files for one fork: what a decoder does not give back is given back then."""
_PIXELS = 480_000_000
"""Pixels (8 seconds of 1920x1080 at 30 frames a second) that are decoded, several times, within the time limit even on
a slow and busy machine; clips of more get more time."""
_BYTES = 600_000_000
"""Bytes that are read within the time limit even from a slow disk; larger files get more time."""
_MAX_TIMES = 20
"""How many times the limit the largest clips get."""
_LAST_SECONDS = 5.0
"""For a fork to end once it was killed; one that waits for a disk that does not answer cannot."""


def _main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the program that asks
    with contextlib.suppress(ImportError, OSError):  # where it is not installed, each clip says so in its reason
        import decord  # noqa: F401
    with _Fork() as fork:
        for line in sys.stdin:
            print(json.dumps(_answer(**json.loads(line), fork=fork).to_row()), flush=True)


def _answer(path: str, time_limit: float, reader: str, fork: "_Fork | None" = None) -> Clip:
    if reader == "torchcodec":
        load_decoder()  # once, because it is slow
    work = partial(_rows, path, reader)
    asker = sys.stdin.fileno()
    outcome = _run_isolated(work, time_limit, asker) if fork is None else fork.run(work, time_limit, asker)
    if outcome.stopped_by == "abandoned":
        sys.exit(1)
    if fork is not None and outcome.may_be_of_another:
        return _answer(path, time_limit, reader)
    clip = Clip.from_row(outcome.last) if outcome.last else Clip.of_file(path)
    if not outcome.stopped_by and not outcome.error:
        return clip
    what = _what_went_wrong(outcome)
    if clip.status == OK and clip.reader and reader == "auto":  # PyAV had read it; only decord failed
        return clip.with_reason(f"decord {what}")
    if outcome.error:
        return clip.put_aside("unreadable", f"reading it {what}")
    if outcome.stopped_by == "timeout":
        return clip.put_aside("timeout", f"probing it {what}; index it with a larger --time-limit")
    return clip.put_aside("crashed", f"the decoder {what}")


def _what_went_wrong(outcome: "_Outcome") -> str:
    if outcome.error:
        return f"failed ({outcome.error})"
    if outcome.stopped_by == "timeout":
        return f"{TOO_SLOW} {outcome.time_limit:{'.0f' if outcome.time_limit > 10 else 'g'}} s"
    if outcome.stopped_by == "SIGKILL":
        return "was killed (SIGKILL), perhaps because memory ran out"
    return f"crashed ({outcome.stopped_by})"


def _rows(path: str, reader: str) -> Iterator[dict[str, Any]]:
    for clip in examine(path, reader):
        yield clip.to_row()


@dataclass
class _Outcome:
    """The outcome of a function: the last value it yielded, and what stopped it ("" if nothing did)."""

    last: Any = None
    stopped_by: str = ""
    """"timeout", "abandoned", "exit status 1", or the name of a signal such as "SIGSEGV"."""
    error: str = ""
    """The last line of the exception that it raised."""
    time_limit: float = 0.0
    """Seconds that it was given."""
    is_first: bool = True
    """Whether its fork had run nothing before."""

    @property
    def may_be_of_another(self) -> bool:
        """Whether something that the same fork ran before may have caused the failure."""
        return not self.is_first and bool(self.error or self.stopped_by not in ("", "timeout"))


def _run_isolated(function: Callable[[], Iterator[Any]], time_limit: float, asker: int | None = None) -> _Outcome:
    """Run a function in a fork of its own; see `_Fork.run`."""
    with _Fork() as fork:
        return fork.run(function, time_limit, asker)


class _Fork:
    """A fork with a process group of its own that runs functions, started when it is needed and again when it died.

    The calling program must have one thread, and nothing open that a fork would break.
    """

    def __init__(self):
        self._child: Any = None
        self._pipe: Any = None
        self._num_run = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._end()

    def run(self, function: Callable[[], Iterator[Any]], time_limit: float, asker: int | None = None) -> _Outcome:
        """Run a function; the fork, with all that it started, is killed if it is too slow or nobody asks any more.

        Args:
            function: Can be pickled, and yields values that can; it may crash, hang or print. Rows of clips that it
                yields raise its time limit, as `_times_the_limit` says.
            time_limit: Seconds.
            asker: A file descriptor that becomes readable when nobody wants the answer any more.
        """
        if self._child is None:
            self._start()
        outcome = _Outcome(stopped_by="abandoned", is_first=self._num_run == 0)
        self._num_run += 1
        try:
            outcome.stopped_by = self._collect(outcome, function, time_limit, asker)
        finally:
            if outcome.stopped_by or outcome.error or self._num_run == _MAX_FILES:
                self._end()
        return outcome

    def _start(self) -> None:
        self._num_run = 0
        self._pipe, far_end = Pipe()
        self._child = get_context("fork").Process(target=_serve, args=(far_end, self._pipe, os.getpid()))
        self._child.start()
        far_end.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(self._child.pid, self._child.pid)  # parent and child both do it: either may come first

    def _collect(self, outcome: _Outcome, function: Callable, time_limit: float, asker: int | None) -> str:
        """Take what the fork sends until it is done, time is up or nobody asks any more; return what stopped it."""
        start, outcome.time_limit = time.monotonic(), time_limit
        try:
            self._pipe.send(function)
            while True:
                left = start + outcome.time_limit - time.monotonic()
                ready = wait([self._pipe] if asker is None else [self._pipe, asker], max(0.0, left))
                if self._pipe not in ready:
                    return "abandoned" if ready else "timeout"
                name, value = self._pipe.recv()
                if name == "done":
                    return ""
                setattr(outcome, name, value)
                outcome.time_limit = time_limit * _times_the_limit(outcome.last)
        except (EOFError, OSError):  # OSError: it crashed before the function came, or in the middle of a message
            self._child.join(_LAST_SECONDS)
            return _name_of_end(self._child.exitcode)

    def _end(self) -> None:
        if self._child is not None:
            _kill_group(self._child.pid)
            self._child.join(_LAST_SECONDS)
            _kill_group(self._child.pid)  # what it started while it was being killed
            self._pipe.close()
            self._child = None


def _times_the_limit(row: Any) -> float:
    """Return how many times the limit a clip gets, by the row that says what its container holds."""
    if not isinstance(row, dict):
        return 1.0
    num_pixels = row.get("num_frames", 0) * row.get("width", 0) * row.get("height", 0)
    return min(max(1.0, num_pixels / _PIXELS, row.get("size", 0) / _BYTES), _MAX_TIMES)


def _name_of_end(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _serve(pipe: Connection, near_end: Connection, parent: int) -> None:
    """Be the fork: silent, with the usual answers to signals, and the first to be killed where memory runs out."""
    end_with(parent)
    near_end.close()
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for file in (0, 1, 2):
        os.dup2(nowhere, file)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")
    with contextlib.suppress(EOFError):
        while True:
            _run(pipe.recv(), pipe)


def _run(function: Callable[[], Iterator[Any]], pipe: Connection) -> None:
    try:
        for value in function():
            pipe.send(("last", value))
    except Exception:
        # passed on, since it becomes the reason why a file is put aside
        pipe.send(("error", traceback.format_exc().strip().rsplit("\n", 1)[-1]))
    pipe.send(("done", True))


if __name__ == "__main__":
    _main()
