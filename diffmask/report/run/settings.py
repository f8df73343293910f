"""The settings of a run, as its page lists them: read again, also where they are those of another version."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from diffmask.config import (
    DataConfig,
    PretrainConfig,
    VideoConfig,
    VideoDataConfig,
    explain_settings,
    to_mapping,
)
from diffmask.core.errors import InputError
from diffmask.report.run.run_data import Setting

VIDEO = "video"


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the mapping that a file of settings holds.

    Raises:
        InputError: If it holds none.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(given, dict):
        raise InputError(f"{path} holds no settings")
    return given


def group(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a group of settings as it stands; nothing where it is none."""
    group = raw.get(name)
    return group if isinstance(group, Mapping) else {}


def is_video(raw: Mapping[str, Any]) -> bool:
    """Tell whether settings are those of a run on video."""
    return raw.get("modality") == VIDEO


def list_settings(raw: Mapping[str, Any], config: PretrainConfig | VideoConfig | None) -> list[Setting]:
    """Return every setting with its default and its meaning; those of another version as they stand."""
    given = raw if config is None else to_mapping(config)
    plain = VideoConfig("", "", VideoDataConfig(())) if is_video(given) else PretrainConfig("", "", DataConfig(()))
    defaults = _flat(to_mapping(plain))
    required, meanings = ("model", "output", "data.train"), explain_settings(type(plain))
    return [
        Setting(name, value, None if name in required else defaults.get(name), meanings.get(name, ""))
        for name, value in _flat(given).items()
    ]


def _flat(mapping: Mapping[str, Any], where: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in mapping.items():
        if isinstance(value, Mapping) and "schedule" not in value:
            flat |= _flat(value, f"{where}{name}.")
        else:
            flat[where + str(name)] = _text(value)
    return flat


def _text(value: Any) -> str:
    """Return a setting as it would be written."""
    if isinstance(value, Mapping):
        given = {name: each for name, each in value.items() if each not in (None, [], ())}
        if given.keys() == {"schedule"}:
            return str(given["schedule"])
        if given.get("schedule") == "constant" and given.keys() == {"schedule", "start"}:
            return f"{given['start']:g}"
        return ", ".join(f"{name} {_text(each)}" for name, each in given.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
