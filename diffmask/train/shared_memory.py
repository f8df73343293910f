"""The memory that processes share, through which workers hand over their batches: asked before they are started."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from diffmask.core.errors import InputError

_FOLDER = Path("/dev/shm")
_PREFETCHED = 2
"""Batches that a worker of torch prepares ahead."""


def check_shared_memory(
    rows: Any, collate: Callable[[list], dict[str, Any]], batch_size: int, num_workers: int, *, folder: Path = _FOLDER
) -> None:
    """Refuse workers whose batches do not fit into shared memory: they would wait for ever.

    Args:
        rows: A data set; its first row tells how large a batch is.
        collate: Makes a batch of rows.
        batch_size: Rows of a batch.
        num_workers: Processes that load rows.
        folder: Where the system keeps what processes share; where it is missing, nothing is known.

    Raises:
        InputError: With the figures, and the cure.
    """
    if num_workers == 0 or not folder.is_dir():
        return
    batch = batch_size * sum(value.nbytes for value in collate([rows[0]]).values() if isinstance(value, Tensor))
    needed, free = batch * (num_workers * _PREFETCHED + 1), shutil.disk_usage(folder).free
    if needed > free:
        size = -(-needed // 10**9) + 1
        raise InputError(
            f"training.num_workers={num_workers} needs {needed / 1e6:,.0f} MB of shared memory ({batch / 1e6:,.1f} MB "
            f"a batch, {_PREFETCHED} batches a worker and one in use), and {folder} has {free / 1e6:,.0f} MB; give "
            f"fewer workers (0 needs none), or start the container with docker run --shm-size={size}g"
        )
