"""The file of one seed of an evaluation: written here, and read here to compare, to continue or to show it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from diffmask.config.evaluation import KINDS, METRICS, MULTI_LABEL, SINGLE_LABEL, TOKENS
from diffmask.core.errors import InputError
from diffmask.files.folders import check_writable, write_text
from diffmask.tasks.metrics import OUTSIDE

_FORMAT = 1
"""Version of a seed's file."""
OF_A_CLASS = ("precision", "recall", "f1")
"""What is measured for each label."""


@dataclass(frozen=True)
class SeedFile:
    """The results of one seed.

    Attributes:
        name: What the evaluated model is called in tables.
        model: The model, as the user wrote it.
        model_hash: sha256 of its weights; None for one on the hub.
        method: finetune, probe, attentive or knn.
        seed: Number of the seed.
        task: Name, kind, labels, hash and numbers of texts.
        settings: What decides the outcome.
        targets: The label of each test text, as `Split.labels`.
        unseen: For each test text, whether it is in no other split.
        predictions: For each share of the labels, ascending, what was predicted for each test text.
        num_train: For each share, the number of training texts.
        scores: For each share, what was measured on `all` test texts, and on the `unseen` ones where there are any.
        hardware: The machine that it was computed on.
        seconds: How long it took.
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
    scores: Mapping[float, Mapping[str, Mapping[str, Any] | None]]
    hardware: str
    seconds: float

    @staticmethod
    def write(path: Path, content: Mapping[str, Any]) -> None:
        """Write a file whole or not at all; NaN is an error, since JSON has none."""
        write_text(path, json.dumps({"format": _FORMAT, **content}, allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
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
        if given.get("format") != _FORMAT:
            raise InputError(f"{path} has format {given.get('format')}, not {_FORMAT}; use the diffmask that wrote it")
        _check_fields(path, given)
        shares = {float(each["share"]): each for each in sorted(given["shares"], key=lambda each: float(each["share"]))}
        found = cls(
            name=given["name"],
            model=given["model"],
            model_hash=given.get("model_hash"),
            method=given["method"],
            seed=given["seed"],
            task=given["task"],
            settings=given["settings"],
            targets=given["targets"],
            unseen=given["unseen"],
            predictions={share: each["predictions"] for share, each in shares.items()},
            num_train={share: each["num_train"] for share, each in shares.items()},
            scores={share: each["test"] for share, each in shares.items()},
            hardware=str(given.get("hardware", "-")),
            seconds=float(given["seconds"]),
        )
        _check_labels(path, found)
        return found


def is_done(path: Path, record: Mapping[str, Any]) -> bool:
    """Tell whether a seed has results; refuse those of another evaluation.

    Args:
        path: File of the seed.
        record: What the files of all seeds of this evaluation have in common.

    Raises:
        InputError: If the file is damaged, or of another evaluation.
    """
    if not path.exists():
        return False
    found = SeedFile.read(path)
    for name in ("model_hash", "method", "settings"):
        if getattr(found, name) != record[name]:
            raise InputError(_differs(path, name, getattr(found, name), record[name]))
    given, now = found.task, record["task"]
    if given["hash"] != now["hash"]:
        raise InputError(_differs(path, "task", given["name"], now["name"]))
    # an older file, from before this could be chosen
    outside = given.get("outside", OUTSIDE if OUTSIDE in now["labels"] else None)
    if now["kind"] == TOKENS and outside != now["outside"]:
        raise InputError(_differs(path, "task.outside", outside, now["outside"]))
    return True


def check_results_folder(folder: Path) -> None:
    """Refuse a folder in which results cannot be written, or would replace files that are none.

    Raises:
        InputError: If it cannot be written, or one of its files has the name of a seed's and is something else.
    """
    check_writable(folder / "seed-0.json")
    for path in folder.glob("seed-*.json"):
        try:
            is_foreign = "format" not in json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            continue  # damaged: it may be made anew
        except TypeError:
            is_foreign = True  # a number
        if is_foreign:
            raise InputError(
                f"{path} is no file of diffmask, and results would replace it; give another folder with -o"
            )


def remove_others(folder: Path, record: Mapping[str, Any]) -> None:
    """Delete the seeds of other evaluations in a folder that is overwritten: `compare` would take them for this one."""
    for path in folder.glob("seed-*.json"):
        try:
            same = is_done(path, record) and SeedFile.read(path).name == record["name"]
        except InputError:
            same = False
        if not same:
            path.unlink()


def _differs(path: Path, name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        # a setting of an older version may be in the file alone
        keys = dict.fromkeys((*now, *before))
        name, before, now = next(
            (f"{name}.{key}", before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)
        )
    was = f"with {name}={before}, not {now}" if before != now else f"with another {name}"
    return f"{path} was made {was}; give another folder with -o, or --overwrite to run it again"


_FIELDS = {
    "name": str, "model": str, "method": str, "seed": int, "task": dict, "settings": dict, "targets": list,
    "unseen": list, "shares": list, "seconds": (int, float),
}  # fmt: skip
_TASK_FIELDS = {
    "name": str, "kind": str, "labels": list, "hash": str, "num_train": int, "num_dev": int, "num_test": int,
}  # fmt: skip
_SHARE_FIELDS = {"share": (int, float), "num_train": int, "predictions": list, "test": dict}
_SCORE_FIELDS = {**dict.fromkeys(METRICS, (int, float)), "per_class": dict}
_CLASS_FIELDS: dict[str, Any] = dict.fromkeys((*OF_A_CLASS, "support"), (int, float))


def _check_fields(path: Path, given: Mapping[str, Any]) -> None:
    _check_kinds(path, "", given, _FIELDS)
    _check_kinds(path, "task.", given["task"], _TASK_FIELDS)
    if given["task"]["kind"] not in KINDS:
        raise _damaged(path, f"the kind of its task is {given['task']['kind']!r}, not one of {', '.join(KINDS)}")
    if not given["targets"] or not given["shares"]:
        raise _damaged(path, "it holds no test texts or no shares")
    for place, share in enumerate(given["shares"]):
        _check_kinds(path, f"shares[{place}].", share, _SHARE_FIELDS)
        for part in ("all", "unseen"):
            if part == "all" or share["test"].get(part) is not None:
                _check_scores(path, f"shares[{place}].test.{part}.", share["test"].get(part), given["task"]["labels"])


def _check_scores(path: Path, where: str, scores: Any, labels: Sequence[str]) -> None:
    _check_kinds(path, where, scores, _SCORE_FIELDS)
    for label in labels:
        _check_kinds(path, f"{where}per_class.{label}.", scores["per_class"].get(label), _CLASS_FIELDS)
    confusion = scores.get("confusion")
    if confusion is not None:
        cells = [cell for row in confusion for cell in row] if all(isinstance(row, list) for row in confusion) else []
        if len(cells) != len(labels) ** 2 or not all(isinstance(cell, int | float) for cell in cells):
            raise _damaged(path, f"{where}confusion is no table of {len(labels)} by {len(labels)} numbers")


def _check_kinds(path: Path, where: str, values: Any, kinds: Mapping[str, Any]) -> None:
    for name, kind in kinds.items():
        value = values.get(name) if isinstance(values, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _damaged(path, f"{where}{name} is missing or of a wrong type")


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
