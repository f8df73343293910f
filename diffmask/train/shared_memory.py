"""The memory that processes share, through which workers hand over their batches: asked before they are started."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from diffmask.core.errors import InputError

_FOLDER = Path("/dev/shm")
_PREFETCHED = 2
"""Batches that a worker of torch prepares ahead."""


def check_shared_memory(
    rows: Any,
    collate: Callable[[list], Any],
    batch_size: int,
    num_workers: int,
    *,
    evaluation: tuple[Any, int] | None = None,
    setting: str = "training.num_workers",
    folder: Path = _FOLDER,
) -> None:
    """Refuse workers whose batches do not fit into shared memory: they would wait for ever, or be killed.

    Args:
        rows: A data set; its first row tells how large a batch is.
        collate: Makes a batch of rows: a tensor, or several with names.
        batch_size: Rows of a batch.
        num_workers: Processes that load rows.
        evaluation: A second data set and its batch size, whose workers run while those of the first wait.
        setting: What asks for the workers, for the message.
        folder: Where the system keeps what processes share; where it is missing, nothing is known.

    Raises:
        InputError: With the figures, and the cure.
    """
    if num_workers == 0 or not folder.is_dir():
        return
    batch = batch_size * _num_bytes(collate([rows[0]]))
    second = 0
    if evaluation is not None:
        # a few held-out rows are one small batch
        second = min(evaluation[1], len(evaluation[0])) * _num_bytes(collate([evaluation[0][0]]))
    needed, free = (batch + second) * (num_workers * _PREFETCHED + 1), shutil.disk_usage(folder).free
    if needed > free:
        size = -(-needed // 10**9) + 1
        held_out = f" and {second / 1e6:,.1f} MB one that is evaluated" if second else ""
        raise InputError(
            f"{setting}={num_workers} needs {needed / 1e6:,.0f} MB of shared memory ({batch / 1e6:,.1f} MB a batch"
            f"{held_out}, {_PREFETCHED} batches a worker and one in use), and {folder} has {free / 1e6:,.0f} MB; give "
            f"fewer workers (0 needs none), or start the container with docker run --shm-size={size}g"
        )


def _num_bytes(batch: Any) -> int:
    """Return the bytes of the tensors of a batch."""
    if isinstance(batch, Mapping):
        return sum(map(_num_bytes, batch.values()))
    return batch.nbytes if isinstance(batch, Tensor) else 0
