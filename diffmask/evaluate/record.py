"""What a result file says besides the scores: what was evaluated, on what, and how."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import ATTENTIVE, FINETUNE, KNN, PROBE, EvaluateSettings
from diffmask.core.machine import describe_hardware
from diffmask.evaluate.seed_file import FORMAT
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


def surroundings() -> dict[str, Any]:
    """Return the versions and the hardware that results were made with."""
    versions = {"diffmask": __version__} | {name: version(name) for name in LIBRARIES}
    return {"versions": versions, "hardware": describe_hardware()}
