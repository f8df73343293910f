"""Checkpoints: finding the one that a run goes on from, and reading what it holds."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from diffmask.core.errors import InputError

POLICY_FILE = "policy.safetensors"
"""What the policy has learned."""


def last_checkpoint(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or None.

    The Trainer writes its state last; a checkpoint without a readable state was cut off while it was written, and is
    passed over.
    """
    found = [path for path in run.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir() and _is_whole(path)]
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def _is_whole(checkpoint: Path) -> bool:
    state = checkpoint / "trainer_state.json"
    if not state.exists():
        return False
    try:
        json.loads(state.read_text())
    except ValueError:
        return False
    return True


def read_policy(checkpoint: Path) -> dict[str, Tensor]:
    """Return what the policy had learned at a checkpoint; nothing where it learns nothing.

    Raises:
        InputError: If the file is damaged.
    """
    path = checkpoint / POLICY_FILE
    try:
        return load_file(path) if path.exists() else {}
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}); go on from another checkpoint") from error
