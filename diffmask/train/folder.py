"""The folder of a run: it is never overwritten unasked, and never resumed with other settings or data.

The checkpoints in it are found and read here too.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from diffmask.config.read import flat
from diffmask.core.errors import InputError
from diffmask.files.folders import DRAFT_SUFFIXES, write_text

SETTINGS_FILE = "config.yaml"
INPUTS_FILE = "inputs.json"


def check_run_folder(folder: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that exists, unless its run may be resumed with these settings, or be overwritten.

    Args:
        folder: Folder of the run.
        settings: All settings of the run that is about to start.
        resume: Continue the run in the folder.
        overwrite: Delete the run in the folder.

    Raises:
        InputError: If the folder may not be used.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; give one of them")
    if not folder.exists():
        return
    if overwrite:
        _check_overwrite(folder, settings)
        return
    if not resume:
        raise InputError(
            f"the output folder {folder} exists; use --resume to continue that run, --overwrite to delete it, "
            "or set output=... to another folder"
        )
    path = folder / SETTINGS_FILE
    if not path.exists() and _is_unclaimed(folder):
        return
    if not path.exists():
        raise InputError(f"{folder} holds no run to resume (no {SETTINGS_FILE}); set output=... to the folder of a run")
    before = flat(yaml.safe_load(path.read_text(encoding="utf-8")))
    for name, value in flat(settings).items():
        if before.get(name) != value:
            raise InputError(
                f"the run in {folder} was started with {name}={before.get(name)}, not {value}; resume it with the same "
                "settings, or set output=... to start another"
            )
    if (folder / "model").exists():
        raise InputError(
            f"the run in {folder} is complete, with its model in {folder / 'model'}; nothing is left to do"
        )


def _is_unclaimed(folder: Path) -> bool:
    """Tell whether a run ended while it made its folder, before its settings were written."""
    return folder.is_dir() and all(
        path.name == INPUTS_FILE or path.suffix in DRAFT_SUFFIXES for path in folder.iterdir()
    )


def _check_overwrite(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to delete a folder that is no run, or that holds something which the new run reads."""
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS_FILE).exists()):
        raise InputError(
            f"{folder} is no run (no {SETTINGS_FILE}), so it is not deleted; set output=... to another folder"
        )
    data = settings["data"]
    # in settings such as `spacy:FOLDER` the path follows a colon
    values = (*settings["masking"].values(), *settings.get("target", {}).values())
    named = [value.rsplit(":", 1)[-1] for value in values if isinstance(value, str)]
    task = settings.get("task") or {"train": [], "eval": []}
    corpora = (*data["train"], *data["eval"], *task["train"], *task["eval"])
    read = (settings["model"], settings["head"]["weights"], data["cache"], *corpora, *named)
    for name in read:
        if name and Path(name).exists() and Path(name).resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{name} lies in {folder}, which --overwrite would delete; set output=... to another folder"
            )


def check_inputs(folder: Path, inputs: Mapping[str, Any]) -> None:
    """Refuse to resume a run that read other data or anchors, or ran on another number of ranks.

    Args:
        folder: Folder of the run.
        inputs: Hashes and facts of everything that the run reads.

    Raises:
        InputError: If one of them changed since the run was started.
    """
    path = folder / INPUTS_FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else inputs
    changed = [name for name, value in json.loads(json.dumps(inputs)).items() if before.get(name) != value]
    if changed:
        raise InputError(
            f"the run in {folder} cannot be resumed, because its {changed[0]} changed since it was started; "
            "set output=... to start another"
        )


def claim_folder(folder: Path, settings: Mapping[str, Any], inputs: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make the folder of a run and write its settings and inputs; called once nothing can be refused any more."""
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {
        INPUTS_FILE: json.dumps(inputs, indent=2),
        SETTINGS_FILE: yaml.safe_dump(dict(settings), sort_keys=False),
    }.items():
        write_text(folder / name, text)
    for left_over in folder.glob("*.tmp"):  # drafts of an earlier version that was killed, perhaps a whole model
        if left_over.is_dir():
            shutil.rmtree(left_over)
        else:
            left_over.unlink()


POLICY_FILE = "policy.safetensors"
"""File of a checkpoint with what the policy has learned."""


def last_checkpoint(run: Path) -> Path | None:
    """Return the newest complete checkpoint of a run, or None.

    The Trainer writes its state last, so a checkpoint without a readable state is incomplete and is skipped.
    """
    found = [path for path in run.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir() and _is_whole(path)]
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def tell_last(run: str | None) -> str:
    """Say from which checkpoint a failed run can continue."""
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
    """Load the parameters that a checkpoint holds under other names than the model has.

    `save_pretrained` writes some architectures with the names of their first release (VideoMAE's query.bias is q_bias),
    but the Trainer reads a checkpoint by the present names of the model. Without this, a resumed run would silently
    start these parameters from scratch.

    Raises:
        InputError: If the checkpoint lacks a parameter under any name.
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
        raise InputError(f"the checkpoint {checkpoint} lacks {lost[0]}; continue from another one")
    renamed = loaded.state_dict()
    with torch.no_grad():
        for name in absent:
            own[name].copy_(renamed[name])


def read_policy(checkpoint: Path) -> dict[str, Tensor]:
    """Return what the policy had learned at a checkpoint; nothing if it is one that does not learn.

    Raises:
        InputError: If the file is damaged.
    """
    path = checkpoint / POLICY_FILE
    try:
        return load_file(path) if path.exists() else {}
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}); continue from another checkpoint") from error
