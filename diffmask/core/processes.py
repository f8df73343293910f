"""Processes: how many make sense on this machine, and that none outlives the one that started it."""

import ctypes
import os
import signal
import sys
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
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


def end_with(parent: int) -> None:
    """Have the system kill this process when its parent ends, even if that is killed itself (on Linux).

    Args:
        parent: Id of the process that started this one, which may have ended already.
    """
    if _LIBC is not None:
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the line above
            os._exit(1)
