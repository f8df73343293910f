"""The machine: what a number was measured on, the state of the code, and the device to run on."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
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
