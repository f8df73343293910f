"""The folder of a run: never overwritten unasked, never resumed with other settings."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from diffmask.core.errors import InputError

SETTINGS_FILE = "config.yaml"


def check_folder(folder: Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Refuse to touch what is there, unless asked; refuse to go on from a run with other settings.

    Raises:
        InputError: If the folder exists and neither `resume` nor `overwrite` is given, or it cannot be resumed.
    """
    if not folder.exists() or overwrite:
        return
    if not resume:
        raise InputError(
            f"the output folder {folder} exists; use --resume to go on with that run, --overwrite to delete it, "
            "or set output=... to another folder"
        )
    path = folder / SETTINGS_FILE
    if not path.exists():
        raise InputError(f"{folder} holds no run to resume (no {SETTINGS_FILE}); set output=... to the folder of a run")
    before = _flat(yaml.safe_load(path.read_text(encoding="utf-8")))
    for name, value in _flat(settings).items():
        if before.get(name) != value:
            raise InputError(
                f"the run in {folder} was started with {name}={before.get(name)}, not {value}; resume it with the same "
                "settings, or set output=... to start another"
            )
    if (folder / "model").exists():
        raise InputError(
            f"the run in {folder} is complete, with its model in {folder / 'model'}; nothing is left to do"
        )


def claim_folder(folder: Path, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make the folder, once everything that can be refused has been read."""
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{SETTINGS_FILE}.tmp"
    draft.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
    os.replace(draft, folder / SETTINGS_FILE)


def _flat(mapping: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in mapping.items():
        flat |= _flat(value, f"{where}{name}.") if isinstance(value, dict) else {where + name: value}
    return flat
