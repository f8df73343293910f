"""What a result file says besides the scores: what was evaluated, on what, and how."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import ATTENTIVE, FINETUNE, KNN, PROBE, TOKENS, EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.core.machine import describe_hardware
from diffmask.evaluate.seed_file import FORMAT
from diffmask.tasks.metrics import OUTSIDE
from diffmask.tasks.task import Task
from diffmask.tasks.video_task import VideoTask
from diffmask.text.model.load import resolve_model
from diffmask.version import __version__

LIBRARIES = ("torch", "transformers", "scikit-learn")


@dataclass(frozen=True)
class Evaluated:
    """What is evaluated, with its task read.

    Attributes:
        settings: The evaluation.
        folder: The model's folder, or its name on the hub.
        name: What the model is called in tables.
        task: The task.
        leakage: Texts that stand in more than one split.
        unseen: For each test text, whether it stands in no other split.
        output: Folder of the results.
    """

    settings: EvaluateSettings
    folder: str
    name: str
    task: Task
    leakage: dict[str, Any]
    unseen: list[bool]
    output: Path


def describe(prepared: Evaluated) -> dict[str, Any]:
    """Return what is the same in the files of all seeds."""
    task = prepared.task
    return {
        "format": FORMAT,
        "name": prepared.name,
        "model": prepared.settings.model,
        "model_hash": _hash_model(prepared.folder),
        "method": prepared.settings.method,
        "task": {
            "name": task.name,
            "kind": task.kind,
            "labels": task.labels,
            "outside": task.outside,
            **{f"num_{name}": len(split) for name, split in task.splits.items()},
            "dev_from_train": task.dev_from_train,
            **_sources(task),
            "hash": task.hash,
            "leakage": prepared.leakage,
        },
        "settings": _deciding(prepared.settings, video=isinstance(task, VideoTask)),
        "targets": task.test.labels,
        "unseen": prepared.unseen,
    }


def _sources(task: Task) -> dict[str, Any]:
    """Return where the examples come from."""
    if isinstance(task, VideoTask):
        return {"examples": task.examples, "left_out": {split: dict(found) for split, found in task.left_out.items()}}
    return {"files": {name: [path.name for path in paths] for name, paths in task.files.items()}}


def _deciding(settings: EvaluateSettings, *, video: bool) -> dict[str, Any]:
    """Return the settings that decide the outcome, but for what is evaluated."""
    given = json.loads(json.dumps(dataclasses.asdict(settings)))
    for name in ("model", "task", "seeds", "first_seed", "device", "name", "output"):
        del given[name]
    if settings.method != PROBE:
        del given["probe"]
    if not video:
        del given["video"]
        if settings.method != FINETUNE:
            del given["finetune"]
        return given
    del given["finetune"], given["max_length"]
    of_methods = {FINETUNE: "finetune", ATTENTIVE: "attentive", KNN: "neighbours"}
    for name in (
        "num_workers",
        "unreadable",
        *(key for method, key in of_methods.items() if method != settings.method),
    ):
        del given["video"][name]
    return given


def _hash_model(folder: str) -> str | None:
    """Return the sha256 of a model's weights; None for one that is not in a folder here."""
    found = Path(resolve_model(folder))
    if not found.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(found.glob("*.safetensors")):
        with path.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def is_done(path: Path, record: Mapping[str, Any]) -> bool:
    """Tell whether a seed's results are there; refuse those of another evaluation."""
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _no_result(path, str(error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("task"), dict):
        raise _no_result(path, "it names no task")
    for name in ("format", "model_hash", "method", "settings"):
        if found.get(name) != record[name]:
            raise InputError(_differs(path, name, found.get(name), record[name]))
    given, now = found["task"], record["task"]
    if given.get("hash") != now["hash"]:
        raise InputError(_differs(path, "task", given.get("name"), now["name"]))
    # a file of before there was a choice
    outside = given.get("outside", OUTSIDE if OUTSIDE in now["labels"] else None)
    if now["kind"] == TOKENS and outside != now["outside"]:
        raise InputError(_differs(path, "task.outside", outside, now["outside"]))
    return True


def remove_others(folder: Path, record: Mapping[str, Any]) -> None:
    """Delete the seeds of other evaluations in a folder that is overwritten: `compare` would take them for this one."""
    for path in folder.glob("seed-*.json"):
        try:
            same = is_done(path, record) and json.loads(path.read_text(encoding="utf-8")).get("name") == record["name"]
        except InputError:
            same = False
        if not same:
            path.unlink()


def _no_result(path: Path, why: str) -> InputError:
    return InputError(f"{path} is not the result of an evaluation ({why}); delete it, or use --overwrite")


def _differs(path: Path, name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        # a setting of an older version may be in the file alone
        keys = dict.fromkeys((*now, *before))
        name, before, now = next(
            (f"{name}.{key}", before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)
        )
    was = f"with {name}={before}, not {now}" if before != now else f"with another {name}"
    return f"{path} was made {was}; give another folder with -o, or --overwrite to run it again"


def surroundings() -> dict[str, Any]:
    """Return the versions and the hardware that results were made with."""
    versions = {"diffmask": __version__} | {name: version(name) for name in LIBRARIES}
    return {"versions": versions, "hardware": describe_hardware()}
