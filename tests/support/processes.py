"""Processes that tests start, forked from one that has imported the large libraries.

To import PyTorch and the trainer of transformers takes a fresh Python some six seconds, which is longer than most of
what tests do in it. The server from which these are forked knows third-party libraries only: each process imports
diffmask itself, from where it is told to.
"""

import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "torch.distributed",
        "torch.utils.tensorboard",
        "datasets",
        "transformers.trainer",
        "transformers.models.auto.modeling_auto",
        "transformers.models.bert.modeling_bert",
        "transformers.models.videomae.modeling_videomae",
    ]
)


@dataclass(frozen=True)
class Done:
    """What a process left: its exit status, or minus the signal that ended it, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Process:
    """A function that runs in a process of its own.

    Args:
        function: Of a module that can be imported; what it returns is lost.
        cwd: The folder in which it runs; None stays in this one.
        env: The whole environment; None hands on this one.
    """

    def __init__(
        self,
        function: Callable[..., object],
        *args: Any,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ):
        self._output = Path(tempfile.mkdtemp())
        given = (str(self._output), str(cwd or Path.cwd()), dict(os.environ if env is None else env), function, args)
        self._process = _CONTEXT.Process(target=_enter, args=given)
        self._process.start()

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, timeout: float = 300.0) -> Done:
        """Wait for its end; one that takes longer is killed, and the test fails."""
        self._process.join(timeout)
        late = self.is_alive()
        if late:
            self._process.kill()
            self._process.join()
        printed = [path.read_text(errors="replace") if path.exists() else "" for path in map(self._file, (1, 2))]
        shutil.rmtree(self._output, ignore_errors=True)
        assert not late, f"it took longer than {timeout} s: {printed[1][-3000:]}"
        assert self._process.exitcode is not None
        return Done(self._process.exitcode, *printed)

    def _file(self, number: int) -> Path:
        return self._output / str(number)


def run_module(name: str, *words: object, cwd: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start `python -m NAME WORDS` in a folder, from which modules are imported first."""
    return Process(_run_module, name, list(map(str, words)), cwd=cwd, env=env)


def run_ranks(number: int, function: Callable[..., object], *args: Any) -> list[Done]:
    """Run a function in several processes that find each other as those of torchrun do; return what each left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number), "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(port)}
    ranks = [
        Process(function, *args, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(number)
    ]
    # one that has died leaves the others waiting for it
    until = time.monotonic() + 300
    while all(rank.is_alive() for rank in ranks) and time.monotonic() < until:
        time.sleep(0.02)
    return [rank.wait(timeout=60) for rank in ranks]


def run_with_small_files(limit: int, argv: Sequence[str]) -> None:
    """Run a command of diffmask for which the disk is full once a file has so many bytes."""
    import resource

    import diffmask.pretrain  # noqa: F401 - what is imported is written to disk as well
    from diffmask.cli import main

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.exit(main(list(argv)))


def _enter(output: str, cwd: str, env: dict[str, str], function: Callable[..., object], args: tuple) -> None:
    for number in (1, 2):
        file = os.open(Path(output) / str(number), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    multiprocessing.set_start_method(None, force=True)  # its own children start as those of any process
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    function(*args)


def _run_module(name: str, words: list[str]) -> None:
    # what Python's own folders do not hold comes from here and from PYTHONPATH, as in a Python that has just begun
    own = [path for path in sys.path if path and _is_below(path, sys.prefix, sys.base_prefix)]
    sys.path[:] = [str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *own]
    for known in [known for known in sys.modules if known.partition(".")[0] == "support"]:
        del sys.modules[known]
    sys.argv[:] = [name, *words]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _is_below(path: str, *folders: str) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)
