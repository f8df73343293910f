"""The folder of a run, never overwritten unasked and never resumed with other settings or data; and its checkpoints."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from diffmask.config.read import flat
from diffmask.core.errors import InputError
from diffmask.files.folders import DRAFT_SUFFIXES, write_text

SETTINGS_FILE = "config.yaml"
INPUTS_FILE = "inputs.json"
POLICY_FILE = "policy.safetensors"
"""File of a checkpoint with what the policy has learned."""


class RunFolder:
    """The folder of a run that is about to start.

    Args:
        path: The folder.
        settings: All settings of the run.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self._path, self._settings = path, settings

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that exists, unless its run may be resumed with these settings, or be overwritten.

        Args:
            resume: Continue the run in the folder.
            overwrite: Delete the run in the folder.

        Raises:
            InputError: If the folder may not be used.
        """
        folder, settings = self._path, self._settings
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
            raise InputError(
                f"{folder} holds no run to resume (no {SETTINGS_FILE}); set output=... to the folder of a run"
            )
        before = flat(yaml.safe_load(path.read_text(encoding="utf-8")))
        for name, value in flat(settings).items():
            if before.get(name) != value:
                raise InputError(
                    f"the run in {folder} was started with {name}={before.get(name)}, not {value}; resume it with the "
                    "same settings, or set output=... to start another"
                )
        if (folder / "model").exists():
            raise InputError(
                f"the run in {folder} is complete, with its model in {folder / 'model'}; nothing is left to do"
            )

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Refuse to resume a run that read other data or anchors, or ran on another number of ranks.

        Args:
            inputs: Hashes and facts of everything that the run reads.

        Raises:
            InputError: If one of them changed since the run was started.
        """
        path = self._path / INPUTS_FILE
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else inputs
        changed = [name for name, value in json.loads(json.dumps(inputs)).items() if before.get(name) != value]
        if changed:
            raise InputError(
                f"the run in {self._path} cannot be resumed, because its {changed[0]} changed since it was started; "
                "set output=... to start another"
            )

    def claim(self, inputs: Mapping[str, Any], *, overwrite: bool) -> None:
        """Make the folder, and write its settings and inputs; called once nothing can be refused any more."""
        if overwrite and self._path.exists():
            shutil.rmtree(self._path)
        self._path.mkdir(parents=True, exist_ok=True)
        for name, text in {
            INPUTS_FILE: json.dumps(inputs, indent=2),
            SETTINGS_FILE: yaml.safe_dump(dict(self._settings), sort_keys=False),
        }.items():
            write_text(self._path / name, text)
        # drafts of an earlier version that was killed: one may be a whole model
        for left_over in self._path.glob("*.tmp"):
            if left_over.is_dir():
                shutil.rmtree(left_over)
            else:
                left_over.unlink()


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


def last_checkpoint(run: Path) -> Path | None:
    """Return the newest complete checkpoint of a run, or None.

    The Trainer writes its state last, so a checkpoint without a readable state is incomplete and is skipped.
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
    """Return what the policy had learned at a checkpoint; nothing if it is one that does not learn.

    Raises:
        InputError: If the file is damaged.
    """
    path = checkpoint / POLICY_FILE
    try:
        return load_file(path) if path.exists() else {}
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}); continue from another checkpoint") from error
