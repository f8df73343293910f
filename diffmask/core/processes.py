"""Processes: how many make sense here, which of a run's this one is, and that none outlives what started it."""

import ast
import ctypes
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from diffmask.core.errors import InputError, first_line

_GROUPS = Path("/sys/fs/cgroup")
_TWICE = (
    "starts this script again in each process, where it would do its work a second time; put what the script does "
    'under `if __name__ == "__main__":`, or ask for no other processes'
)
_HARMLESS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
"""What a script may hold at its top level without doing anything when it is imported."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
# loaded here, since no library can be loaded safely between fork and exec
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def num_cores(groups: Path = _GROUPS) -> int:
    """Return the cores that this process may use; in a container they may be fewer than the machine has.

    Args:
        groups: Where the system mounts control groups, by which containers limit time on processors.
    """
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(allowed, _quota(groups) or allowed))


def _quota(groups: Path) -> int | None:
    """Return how many cores the time that a container gets makes, rounded up; None if it has no limit."""
    version_2, version_1 = groups / "cpu.max", groups / "cpu"
    try:
        if version_2.is_file():
            quota, period = version_2.read_text().split()
        else:
            quota, period = ((version_1 / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return -(-int(quota) // int(period)) if quota.isdigit() else None


@contextmanager
def torch_threads(number: int | None) -> Generator[None]:
    """Let torch compute with this many threads for a while; None leaves what it has."""
    import torch  # here, since commands that only count cores start faster without it

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def end_with(parent: int) -> None:
    """Have the system kill this process when its parent ends, even if that is killed itself (on Linux).

    Args:
        parent: Id of the process that started this one, which may have ended already.
    """
    if _LIBC is not None:
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the line above
            os._exit(1)


def check_guard(setting: str) -> None:
    """Refuse to start processes from a script that would do its work again in each of them.

    A process that is started afresh (spawned) imports the script that started it first. What the script does at its top
    level then happens in the child too, which waits for what its parent has locked, and the parent for the child.

    Args:
        setting: What asks for processes, such as `num_processes=4`.

    Raises:
        InputError: If the script has no guard.
    """
    main = sys.modules.get("__main__")
    spec, script = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None and spec.name.endswith("__main__"):
        return  # `python -m package` is not imported again
    if script is not None and not _is_guarded(Path(script)):
        raise InputError(f"{setting} {_TWICE}")


def refuse_in_child() -> None:
    """Refuse to work, or to wait for anything, while a process that was started afresh imports its parent's script.

    Raises:
        InputError: If this is such a process.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise InputError(f"asking for processes {_TWICE}")


def _is_guarded(script: Path) -> bool:
    """Tell whether a script asks for its name anywhere at its top level; what cannot be read is taken to do so."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True
    tests = [node.test for node in tree.body if isinstance(node, ast.If)]
    named = [node for test in tests for node in ast.walk(test) if isinstance(node, ast.Name)]
    # a file of definitions and imports does nothing when it is imported
    works = any(not isinstance(node, _HARMLESS) for node in tree.body)
    return not works or any(node.id == "__name__" for node in named)


@dataclass(frozen=True)
class Ranks:
    """Which of several processes this one is, as torchrun and its like tell by the environment.

    Attributes:
        number: How many there are.
        rank: Which of all this is, from 0.
        local_rank: Which of those on this machine; None where nothing is told.
    """

    number: int = 1
    rank: int = 0
    local_rank: int | None = None


def read_ranks() -> Ranks:
    """Return what the environment says of the ranks of a run.

    Raises:
        InputError: If it says something that no launcher says.
    """
    number = _from_environment("WORLD_SIZE", 1, 1)
    rank = _from_environment("RANK", 0, 0)
    local = _from_environment("LOCAL_RANK", 0, 0) if "LOCAL_RANK" in os.environ else None
    _from_environment("MASTER_PORT", 1, 1, 65_535)
    if max(rank, local or 0) >= number and "WORLD_SIZE" in os.environ:
        raise InputError(
            f"the environment has WORLD_SIZE={number}, RANK={rank} and LOCAL_RANK={local or 0}, but ranks count from 0 "
            "to one less than their number; start the processes with torchrun, or unset these variables"
        )
    return Ranks(number, rank, local)


@contextmanager
def rank_errors() -> Generator[None]:
    """Say in one sentence that another of several ranks has ended, which this one cannot go on without.

    Raises:
        InputError: In place of the errors by which torch tells of a lost connection.
    """
    try:
        yield
    except RuntimeError as error:
        import torch  # commands that start no ranks do without it

        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        reason = re.sub(r"^(\[[^]]*\] *)+", "", first_line(error)).partition(". ")[0]
        raise InputError(
            f"another process of this run has ended, or cannot be reached ({reason}); see what it said itself, and "
            "start all of them again with --resume"
        ) from error


def _from_environment(name: str, default: int, low: int, high: int = 1_000_000) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high):
        raise InputError(
            f"the environment has {name}={text!r}, which must be a whole number of at least {low}; start the processes "
            "with torchrun, or unset the variable"
        )
    return int(text)
