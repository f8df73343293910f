"""One file of `diffmask evaluate`, as far as a comparison needs it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import KINDS, MULTI_LABEL, SINGLE_LABEL, TOKENS
from diffmask.core.errors import InputError

FORMAT = 1
"""Of a seed's file, which `record.describe` makes."""


@dataclass(frozen=True)
class SeedFile:
    """What one seed came to.

    Attributes:
        name: What was evaluated.
        model: The model, as the user wrote it.
        model_hash: sha256 of its weights; None for one on the hub.
        method: finetune or probe.
        seed: Its number.
        task: Name, kind, labels, hash and numbers of texts.
        settings: What decides the outcome.
        targets: Of each test text.
        unseen: Whether each test text stands in no other split.
        predictions: For each share of the labels, of each test text.
        num_train: For each share, training texts.
    """

    name: str
    model: str
    model_hash: str | None
    method: str
    seed: int
    task: Mapping[str, Any]
    settings: Mapping[str, Any]
    targets: list[Any]
    unseen: list[bool]
    predictions: Mapping[float, list[Any]]
    num_train: Mapping[float, int]


def read_seed_file(path: Path) -> SeedFile:
    """Read and check a file.

    Raises:
        InputError: If it is damaged, or of another version.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, f"it is no JSON ({error})") from error
    if not isinstance(given, dict):
        raise _damaged(path, "it holds no object")
    if given.get("format") != FORMAT:
        raise InputError(f"{path} has format {given.get('format')}, not {FORMAT}; use the diffmask that wrote it")
    _check_fields(path, given)
    found = SeedFile(
        name=given["name"],
        model=given["model"],
        model_hash=given.get("model_hash"),
        method=given["method"],
        seed=given["seed"],
        task=given["task"],
        settings=given["settings"],
        targets=given["targets"],
        unseen=given["unseen"],
        predictions={float(each["share"]): each["predictions"] for each in given["shares"]},
        num_train={float(each["share"]): each["num_train"] for each in given["shares"]},
    )
    _check_labels(path, found)
    return found


_FIELDS = {
    "name": str, "model": str, "method": str, "seed": int, "task": dict, "settings": dict, "targets": list,
    "unseen": list, "shares": list,
}  # fmt: skip
_TASK_FIELDS = {"name": str, "kind": str, "labels": list, "hash": str}
_SHARE_FIELDS = {"share": (int, float), "num_train": int, "predictions": list}


def _check_fields(path: Path, given: Mapping[str, Any]) -> None:
    fields = [("", given, _FIELDS)]
    if isinstance(given.get("task"), dict):
        fields.append(("task.", given["task"], _TASK_FIELDS))
    if isinstance(given.get("shares"), list):
        shares = [each if isinstance(each, dict) else {} for each in given["shares"]]
        fields += [(f"shares[{place}].", each, _SHARE_FIELDS) for place, each in enumerate(shares)]
    for where, values, kinds in fields:
        for name, kind in kinds.items():
            if not isinstance(values.get(name), kind) or isinstance(values.get(name), bool):
                raise _damaged(path, f"{where}{name} is missing or of a wrong type")
    if given["task"]["kind"] not in KINDS:
        raise _damaged(path, f"the kind of its task is {given['task']['kind']!r}, not one of {', '.join(KINDS)}")
    if not given["targets"] or not given["shares"]:
        raise _damaged(path, "it holds no test texts or no shares")


def _check_labels(path: Path, found: SeedFile) -> None:
    """Check that everything has one entry for each test text, and that every label is one of the task's."""
    if len(found.unseen) != len(found.targets):
        raise _damaged(path, f"{len(found.unseen)} marks of unseen texts for {len(found.targets)} texts")
    kind, num_labels = found.task["kind"], len(found.task["labels"])
    for where, rows in [("targets", found.targets), *((f"share {s:g}", rows) for s, rows in found.predictions.items())]:
        if len(rows) != len(found.targets):
            raise _damaged(path, f"{len(rows)} predictions at {where} for {len(found.targets)} texts")
        lists = [[row] for row in rows] if kind == SINGLE_LABEL else rows
        for each in lists:
            if not isinstance(each, list) or not all(type(row) is int and 0 <= row < num_labels for row in each):
                raise _damaged(path, f"{where}: {str(each)[:40]} is no label of a {kind} task of {num_labels} labels")
        if kind == MULTI_LABEL and any(len(set(each)) < len(each) for each in lists):
            raise _damaged(path, f"{where}: a text has the same label twice")
        if kind == TOKENS and list(map(len, rows)) != list(map(len, found.targets)):
            raise _damaged(path, f"{where}: a text has not one label for each of its words")


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is damaged: {what}; delete it and evaluate that seed again")
