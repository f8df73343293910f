"""Probe files of video in processes of their own, several at once: no file can stop, crash or hang the program."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from diffmask.core.errors import InputError
from diffmask.core.processes import num_cores
from diffmask.video.clip.clip import Clip

TIME_LIMIT = 30.0
"""Seconds for one file of ordinary size."""
_LAST_SECONDS = 5.0
"""For a process to end once its input has ended."""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def probe_all(
    paths: Sequence[str | Path],
    *,
    num_processes: int | None = None,
    time_limit: float = TIME_LIMIT,
    reader: str = "auto",
) -> Iterator[Clip]:
    """Yield the clips of files as they are probed, which is not the order of the files.

    A clip says what is in its file and which reader reads it correctly, or why it cannot be used.

    Args:
        paths: Any paths: what is no video gets a status that says so.
        num_processes: How many files are probed at the same time; None takes all cores.
        time_limit: Seconds for each file, after which the probing is killed; large clips get up to 20 times as many.
        reader: The only reader to try; "auto" prefers decord and takes PyAV where decord is wrong.
    """
    num_processes = min(num_cores() if num_processes is None else num_processes, len(paths))
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(max(1, num_processes))
        stack.callback(pool.shutdown, cancel_futures=True)
        idle: SimpleQueue[_Prober] = SimpleQueue()
        # closed before the pool is: a thread that waits for an answer gets none, and ends
        for _ in range(num_processes):
            idle.put(stack.enter_context(_Prober(time_limit, reader)))

        def ask(path: str) -> Clip:
            prober = idle.get()
            try:
                return prober.ask(path)
            finally:
                idle.put(prober)

        for answer in as_completed([pool.submit(ask, os.path.abspath(path)) for path in paths]):
            yield answer.result()


class _Prober:
    """A running `probe_process`, started again when it has died."""

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
        """Return what to say of a file when the process that probed it has died."""
        status = self._process.wait()
        if self._is_closed:
            return Clip(path, "crashed", "probing was stopped")
        if status >= 0:
            assert self._process.stderr
            raise InputError(f"clips cannot be probed: {self._process.stderr.read().strip().rsplit(chr(10), 1)[-1]}")
        self._stop()
        self._start()
        name = signal.Signals(-status).name
        return Clip(path, "crashed", f"the process that probed it was killed ({name}), perhaps because memory ran out")

    def _start(self) -> None:
        package = str(Path(__file__).parents[3])
        search = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "diffmask.video.index.probe_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": search, **dict.fromkeys(_ONE_THREAD, "1")},
            start_new_session=True,
        )

    def _stop(self) -> None:
        """End the process and close its pipes.

        It ends, with all that it started, when its input does; a signal could be lost between two of its reads.
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
