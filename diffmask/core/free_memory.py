"""How many bytes this process may still take: what the machine has, and what its control group leaves it."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMINFO = Path("/proc/meminfo")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def free_memory(meminfo: Path = MEMINFO, cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int | None:
    """Return the bytes that can be taken; None where the system does not tell.

    The cache of files counts as free, for the system gives it back when memory is asked for.

    Args:
        meminfo: What the kernel says of the machine.
        cgroups: Where the control groups are, of version 2 or 1.
        own: Which of them this process is in.
    """
    found = [*_of_machine(meminfo), *_of_groups(cgroups, own)]
    return min(found) if found else None


def _of_machine(meminfo: Path) -> Iterator[int]:
    if meminfo.is_file():
        sizes = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in sizes:
            yield 1024 * int(sizes["MemAvailable"].split()[0])
            return
    # other systems, where the cache may count as taken
    names = ("SC_AVPHYS_PAGES", "SC_PAGE_SIZE")
    if all(name in os.sysconf_names for name in names):
        yield os.sysconf(names[0]) * os.sysconf(names[1])


def _of_groups(cgroups: Path, own: Path) -> Iterator[int]:
    """Return what each group with a limit leaves: those that this process is in, up to the root."""
    # a line is number:controllers:path; version 2 has no controllers
    lines = own.read_text().splitlines() if own.is_file() else []
    groups = {kind: path for _, kind, path in (line.split(":", 2) for line in lines if line.count(":") > 1)}
    second = groups.get("", "/")
    first = next((path for kind, path in groups.items() if "memory" in kind.split(",")), "/")
    yield from _left(cgroups, second, "memory.max", "memory.current", "inactive_file")
    for place in (cgroups / "memory", cgroups):
        yield from _left(place, first, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _left(root: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    """Return the bytes below the limit of a group and of those it lies in, the cache of files counted as free."""
    inside = PurePosixPath(path.lstrip("/"))
    for group in (root / inside, *(root / each for each in inside.parents)):
        if not (group / limit).is_file() or not (group / usage).is_file():
            continue
        most = (group / limit).read_text().strip()
        if most != "max":  # version 1 says a number above all memory instead
            yield max(0, int(most) - int((group / usage).read_text()) + _cached(group / "memory.stat", cache))


def _cached(stat: Path, name: str) -> int:
    """Return the bytes of files that are kept in memory and were not used lately."""
    lines = stat.read_text().splitlines() if stat.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)
