"""The machine: what a number was measured on, the state of the code, the device to run on, and memory that is free."""

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, cast

import psutil
import torch

from diffmask.core.errors import InputError
from diffmask.core.processes import num_cores, read_ranks

_CPU_FILE = Path("/proc/cpuinfo")


def describe_hardware() -> str:
    """Return processors, memory and accelerators in one line.

    >>> describe_hardware()  # doctest: +SKIP
    '2 x Intel Xeon Platinum 8370C, 8 GiB; no GPU'
    """
    memory = psutil.virtual_memory().total / 2**30
    return f"{num_cores()} x {_processor()}, {memory:.0f} GiB; {_accelerators()}"


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
    local_rank = read_ranks().local_rank
    if name in ("auto", "cuda") and local_rank is not None:
        name = f"cuda:{local_rank}"  # each process that torchrun starts has a GPU of its own
    elif name == "auto":
        return torch.device("cuda")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}; choose from: auto, cpu, cuda, cuda:0, ...") from error
    there = {"cpu", "cuda"}
    if torch.accelerator.is_available():
        there.add(cast(torch.device, torch.accelerator.current_accelerator()).type)
    if device.type not in there:
        raise InputError(f"device {name!r} is not there; use auto or cpu")
    if device.type == "cuda" and not 0 <= (device.index or 0) < torch.cuda.device_count():
        raise InputError(f"device {name!r} is not there ({torch.cuda.device_count()} CUDA devices); use auto or cpu")
    return device


def fast_attention(device: torch.device, precision: str) -> dict[str, Any]:
    """Return the arguments with which `from_pretrained` loads a model whose attention is fast.

    On a CPU the backward pass of torch's fused attention in bfloat16 takes longer than the rest of the step. Written as
    plain matrix products it runs on the processor's bfloat16 units (a MiniLM step: 0.55 s instead of 0.98 s).

    Args:
        device: Where the model runs.
        precision: fp32, bf16 or fp16.
    """
    return {"attn_implementation": "eager"} if device.type == "cpu" and precision == "bf16" else {}


_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def free_memory(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """Return the bytes that this process can still take: what the machine has, and what its container leaves it.

    The cache of files counts as free, for the system gives it back when memory is asked for.

    Args:
        groups: Where the system mounts control groups, by which containers and batch systems limit memory.
        own: Which of them this process is in.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups(groups, own)])


def _left_in_groups(groups: Path, own: Path) -> Iterator[int]:
    """Yield the bytes below each limit; psutil knows the machine, but no limits of groups."""
    # a line is number:controllers:path; those of version 2 name no controllers
    lines = own.read_text().splitlines() if own.is_file() else []
    paths = {kind: path.lstrip("/") for kind, path in (line.split(":", 2)[1:] for line in lines)}
    first = next((path for kind, path in paths.items() if "memory" in kind.split(",")), "")
    version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    yield from _left(groups, paths.get("", ""), "memory.max", "memory.current", "inactive_file")
    yield from _left(groups / "memory", first, *version_1)
    yield from _left(groups, first, *version_1)


def _left(root: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    """Yield the bytes below the limit of a group and of those it lies in, up to the root, which a container may see."""
    for group in (root / path, *(root / parent for parent in PurePosixPath(path).parents)):
        if (group / limit).is_file() and (most := (group / limit).read_text().strip()) != "max":
            stat = (group / "memory.stat").read_text() if (group / "memory.stat").is_file() else ""
            cached = next((int(line.split()[1]) for line in stat.splitlines() if line.startswith(f"{cache} ")), 0)
            yield max(0, int(most) - int((group / usage).read_text()) + cached)
