"""Finding the checkpoint that a run goes on from."""

import json
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR


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
