"""Read the folder of a run for its page, as far as it goes: what is missing is said, and stops nothing else."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from diffmask.assemble.modality import modality_named, modality_of, read_config
from diffmask.config import default_mapping, explain_settings, to_mapping
from diffmask.core.errors import InputError
from diffmask.evaluate.results import Result, read_result
from diffmask.report.run.data import Folder, RunData, Setting
from diffmask.train.folder import INPUTS_FILE, SETTINGS_FILE
from diffmask.train.log import Log, read_log
from diffmask.train.record import RECORD_FILE


def read_run(path: Path) -> RunData:
    """Return what a run's folder holds, and what of it cannot be shown."""
    folder = Folder(path)
    raw = folder.attempt("Settings", _read_settings, path / SETTINGS_FILE) or {}
    config = folder.attempt("Schedules and heat maps", read_config, path / SETTINGS_FILE)
    record = folder.attempt("Machine, versions and time", _record, folder) or {}
    inputs = folder.attempt("Data and anchors", _read_json, path / INPUTS_FILE) or {}
    folder.log = folder.attempt("Losses, schedules and throughput", _log, path) or []
    folder.num_steps = _num_steps(_group(raw, "training"), record, folder.log)
    is_complete = (path / "model").is_dir()
    if not is_complete:
        folder.missing.append(
            f"The model: the run stands at step {folder.last_step:,} of {folder.num_steps:,}; "
            "`diffmask pretrain` with --resume continues it."
        )
    modality = folder.attempt("Modality", modality_named, raw.get("modality", "text")) or modality_named("text")
    masked = modality.masked_in(folder, config, inputs)
    preview, note = (masked.preview() if masked else None) or (None, "")
    return RunData(
        name=path.resolve().name,
        words=modality.words,
        anchors=masked.anchors if masked else (),
        preview=preview,
        note=note,
        sections=masked.sections() if masked else (),
        policy=str(_group(raw, "masking").get("policy", "difference")),
        model=str(raw.get("model", "a model")),
        log=folder.log,
        num_steps=folder.num_steps,
        is_complete=is_complete,
        record=record,
        inputs=inputs,
        settings=_list_settings(raw, config, modality.config),
        schedules=(None if config is None else folder.attempt("Schedules", _schedules, config)) or {},
        evaluations=_evaluations(folder),
        missing=folder.missing,
    )


def _evaluations(folder: Folder) -> list[Result]:
    paths = sorted((folder.path / "evaluation").glob("*/"))
    if not paths:
        folder.missing.append("Evaluation: none was made; `diffmask evaluate RUN --task TASK` makes one.")
    found = (folder.attempt("Evaluation", read_result, path) for path in paths)
    return [each for each in found if each is not None]


def _record(folder: Folder) -> dict[str, Any]:
    path = folder.path / RECORD_FILE
    if not path.exists():
        raise InputError(f"not recorded, as in runs of older versions of diffmask (no {RECORD_FILE})")
    record = _read_json(path)
    first = record["sessions"][0]["first_step"]
    if first:
        folder.missing.append(f"Time: what the run took up to step {first:,} was not recorded.")
    return record


def _log(folder: Path) -> Log:
    path = folder / "log.jsonl"
    entries = read_log(path) if path.is_file() else []
    if not any("loss" in entry or "eval_loss" in entry for entry in entries):
        raise InputError("the run has logged nothing yet")
    return entries


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"not recorded (no {path.name})")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error})") from error


def _group(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a group of settings as it stands; nothing where it is none."""
    group = raw.get(name)
    return group if isinstance(group, Mapping) else {}


def _schedules(config: Any) -> dict[str, Callable[[float], float]]:
    masking = modality_of(config).masking(config.masking)
    return {"mask_ratio": masking.schedule("ratio"), "strength": masking.schedule("strength")}


def _num_steps(training: Mapping[str, Any], record: Mapping[str, Any], log: Log) -> int:
    """Return the steps of the whole run, as it recorded them, was told them, or came to by its epochs."""
    last = max(log, key=lambda entry: entry["step"], default={"step": 1})
    told = record.get("num_steps") or training.get("steps")
    if told:
        return int(told)
    if training.get("epochs") and last.get("epoch"):
        return max(1, round(last["step"] / last["epoch"] * training["epochs"]))
    return max(1, int(last["step"]))


def _read_settings(path: Path) -> dict[str, Any]:
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


def _list_settings(raw: Mapping[str, Any], config: Any, kind: type) -> list[Setting]:
    """Return every setting of a run with its default and its meaning.

    Args:
        raw: As they stand in the run's file.
        config: The same, read; None for those of another version, which are listed as they stand.
        kind: Class of the settings of a run of its modality.
    """
    defaults, meanings = _flat(default_mapping(kind)), explain_settings(kind)
    return [
        Setting(name, value, defaults.get(name), meanings.get(name, ""))
        for name, value in _flat(raw if config is None else to_mapping(config)).items()
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
