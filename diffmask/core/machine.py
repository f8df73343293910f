"""The machine: what a number was measured on, the state of the code, and the device to run on.

How many bytes this process may still take: what the machine has, and what its control group leaves it.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from diffmask.core.errors import InputError

_CPU_FILE = Path("/proc/cpuinfo")


def describe_hardware() -> str:
    """Return processors, memory and accelerators in one line.

    >>> describe_hardware()  # doctest: +SKIP
    '2 x Intel Xeon Platinum 8370C, 8 GiB; no GPU'
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_num_cores()} x {_processor()}, {memory:.0f} GiB; {_accelerators()}"


def _num_cores() -> int:
    """Return the cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _processor() -> str:
    lines = _CPU_FILE.read_text(encoding="utf-8").splitlines() if _CPU_FILE.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _accelerators() -> str:
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if not names:
        return "no GPU"
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


def code_version(folder: Path) -> str | None:
    """Return the commit of a checkout, with a plus where files differ from it; None where it is no checkout.

    Args:
        folder: Its root.
    """
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None
    commit, changed = (
        subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    )
    if commit.returncode or changed.returncode:  # a checkout of another user, which git does not trust
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is the accelerator if there is one.

    Raises:
        InputError: If the name is unknown, or there is no such device.
    """
    if name == "auto" and not torch.cuda.is_available():
        return torch.device("cpu")
    if name in ("auto", "cuda") and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"  # each process that torchrun starts has a GPU of its own
    elif name == "auto":
        return torch.device("cuda")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}; choose from: auto, cpu, cuda, cuda:0, ...") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r} is not there ({torch.cuda.device_count()} CUDA devices); use auto or cpu")
    return device


def fast_attention(device: torch.device, precision: str) -> dict[str, Any]:
    """Return what the loading of a model is told, so that its attention is fast.

    On a CPU the backward pass of torch's fused attention in bfloat16 takes longer than the rest of the step; as plain
    matrix products it is left to the processor's own bfloat16 units (a MiniLM step: 0.98 s against 0.55 s).

    Args:
        device: Where the model runs.
        precision: fp32, bf16 or fp16.
    """
    return {"attn_implementation": "eager"} if device.type == "cpu" and precision == "bf16" else {}


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
