"""The folder of a run: never overwritten unasked, never resumed with other settings."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from diffmask.config.mappings import flat
from diffmask.core.errors import InputError
from diffmask.files.folders import write_text

SETTINGS_FILE = "config.yaml"
INPUTS_FILE = "inputs.json"


def check_folder(folder: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Refuse to touch what is there, unless asked; refuse to go on from a run with other settings.

    Raises:
        InputError: If the folder exists and neither `resume` nor `overwrite` is given, or it cannot be resumed.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; give the one that is meant")
    if not folder.exists():
        return
    if overwrite:
        _check_overwrite(folder, settings)
        return
    if not resume:
        raise InputError(
            f"the output folder {folder} exists; use --resume to go on with that run, --overwrite to delete it, "
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
    """Tell whether a run ended while it made its folder, before the settings stood in it."""
    return folder.is_dir() and all(path.name == INPUTS_FILE or path.suffix == ".tmp" for path in folder.iterdir())


def _check_overwrite(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to delete what is no run, or what the new run reads."""
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS_FILE).exists()):
        raise InputError(
            f"{folder} is no run (no {SETTINGS_FILE}), so it is not deleted; set output=... to another folder"
        )
    data = settings["data"]
    # settings such as `spacy:FOLDER` name a file behind a colon
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
    """Refuse to go on from a run that read other data or anchors, or ran on another number of ranks.

    Raises:
        InputError: If something changed since the run was started.
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
    """Make the folder, once everything that can be refused has been read."""
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {
        INPUTS_FILE: json.dumps(inputs, indent=2),
        SETTINGS_FILE: yaml.safe_dump(dict(settings), sort_keys=False),
    }.items():
        write_text(folder / name, text)
