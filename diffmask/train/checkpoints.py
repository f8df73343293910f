"""Checkpoints: finding the one that a run goes on from, and reading what it holds."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

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


def tell_last(run: str | None) -> str:
    """Return which checkpoint a run that failed can go on from, for messages."""
    found = last_checkpoint(Path(run)) if run is not None else None
    return f"the last good checkpoint is {found}" if found else "no checkpoint was written yet"


def _is_whole(checkpoint: Path) -> bool:
    state = checkpoint / "trainer_state.json"
    if not state.exists():
        return False
    try:
        json.loads(state.read_text())
    except ValueError:
        return False
    return True


def restore_renamed(model: PreTrainedModel, checkpoint: Path) -> None:
    """Load the parameters that a checkpoint holds under other names than the model's.

    `save_pretrained` writes some architectures with the names of their first release (VideoMAE's query.bias is q_bias),
    and the Trainer reads a checkpoint's file by the names that the model has now: without this, a resumed run would
    silently start these parameters anew.

    Raises:
        InputError: If a parameter is not there under any name.
    """
    index = checkpoint / SAFE_WEIGHTS_INDEX_NAME
    files = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {SAFE_WEIGHTS_NAME}
    if not all((checkpoint / name).exists() for name in files):
        return  # FSDP and DeepSpeed have files of their own, by the model's own names
    held: set[str] = set()
    for name in files:
        with safe_open(checkpoint / name, "pt") as file:
            held.update(file.keys())
    own = model.state_dict(keep_vars=True)
    absent = own.keys() - held - set(model.all_tied_weights_keys)
    if not absent:
        return
    kind: Any = type(model)
    loaded, report = kind.from_pretrained(checkpoint, config=model.config, output_loading_info=True)
    if lost := sorted(absent & report["missing_keys"]):
        raise InputError(f"the checkpoint {checkpoint} lacks {lost[0]}; go on from another one")
    renamed = loaded.state_dict()
    with torch.no_grad():
        for name in absent:
            own[name].copy_(renamed[name])


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
