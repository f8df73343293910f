"""The file of one seed of an evaluation: written here, and read here to compare, to continue or to show it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired, Self, TypedDict, cast

from diffmask.config.evaluation import KINDS, MULTI_LABEL, RETRIEVAL, SINGLE_LABEL, TOKENS
from diffmask.config.limits import Between, at_least
from diffmask.core.errors import InputError
from diffmask.files.folders import check_writable, write_text
from diffmask.files.json_object import faults, inspect_object
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
        model_hash: sha256 of its weights; the name of one on the hub (None in files of earlier versions).
        continued: From which models it was continued, and for how many steps; None in files of earlier versions.
        method: finetune, probe, attentive, knn, retrieval or matching.
        seed: Number of the seed.
        task: Name, kind, labels, hash and numbers of texts.
        settings: What decides the outcome.
        targets: The label of each test text, as `Split.labels`; of retrieval, the direction of each search.
        unseen: For each test text, whether it is in no other split.
        predictions: For each share of the labels, ascending, what was predicted for each test text; of retrieval, the
            place of the first right one.
        num_train: For each share, the number of training texts.
        scores: For each share, what was measured on `all` test texts, and on the `unseen` ones where there are any.
        hardware: The machine that it was computed on.
        seconds: How long it took.
    """

    name: str
    model: str
    model_hash: str | None
    continued: Mapping[str, Any] | None
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

    @property
    def identity(self) -> str:
        """What a run that continues this model notes of it."""
        return self.model_hash or self.model

    @property
    def ancestors(self) -> Sequence[str]:
        """The models that it was continued from, the oldest first; none for one that was not, but for a new head."""
        return self.continued["from"] if self.continued is not None and self.continued["steps"] else ()

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
        given, wrong = inspect_object(path, {})
        if isinstance(given, dict) and given.get("format") != _FORMAT:
            raise InputError(f"{path} has format {given.get('format')}, not {_FORMAT}; use the diffmask that wrote it")
        wrong = wrong or next(faults(given, _content_of(given)), None) or _contradiction(cast(_Content, given))
        if wrong is not None:
            raise _damaged(path, wrong)
        shares = {float(each["share"]): each for each in sorted(given["shares"], key=lambda each: float(each["share"]))}
        return cls(
            name=given["name"],
            model=given["model"],
            model_hash=given.get("model_hash"),
            continued=given.get("continued"),
            method=given["method"],
            seed=given["seed"],
            task=given["task"],
            settings=given["settings"],
            targets=given["targets"],
            unseen=given["unseen"],
            predictions={share: each["predictions"] for share, each in shares.items()},
            num_train={share: each["num_train"] for share, each in shares.items()},
            scores={share: each["test"] for share, each in shares.items()},
            hardware=given.get("hardware", "-"),
            seconds=float(given["seconds"]),
        )


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
        # a damaged one, which holds nothing, may be made anew
        content, _ = inspect_object(path, {})
        if content is not None and "format" not in (content if isinstance(content, dict) else {}):
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


class _OfClass(TypedDict):
    precision: float
    recall: float
    f1: float
    support: float


class _Scores(TypedDict):
    micro_f1: float
    macro_f1: float
    accuracy: float
    per_class: dict[str, _OfClass]
    confusion: NotRequired[list[list[float]] | None]


_Test = TypedDict("_Test", {"all": _Scores, "unseen": NotRequired[_Scores | None]})  # noqa: UP013 - as the others
_NumTexts = Annotated[int, at_least(0)]


class _Share(TypedDict):
    share: Annotated[float, Between(0, 1, without_low=True)]
    num_train: _NumTexts
    predictions: list
    test: _Test


class _Task(TypedDict):
    name: str
    kind: str
    labels: list[str]
    hash: str
    num_train: _NumTexts
    num_dev: _NumTexts
    num_test: _NumTexts
    outside: NotRequired[str | None]
    examples: NotRequired[str]
    leakage: NotRequired[dict | None]


_Lineage = TypedDict("_Lineage", {"from": list[str], "steps": Annotated[int, at_least(0)]})  # noqa: UP013 - a keyword


class _Content(TypedDict):
    """What a file must hold; there may be more."""

    name: str
    model: str
    model_hash: NotRequired[str | None]
    continued: NotRequired[_Lineage]
    method: str
    seed: Annotated[int, at_least(0)]
    task: _Task
    settings: dict
    targets: list
    unseen: list[bool]
    shares: list[_Share]
    hardware: NotRequired[str]
    seconds: float


class _RanksOfDirection(TypedDict):
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float
    mean_rank: float


class _Ranks(_RanksOfDirection):
    per_class: dict[str, _RanksOfDirection]


_RanksOfTest = TypedDict("_RanksOfTest", {"all": _Ranks, "unseen": NotRequired[_Ranks | None]})  # noqa: UP013


class _RankedShare(_Share):
    test: _RanksOfTest


class _RankedContent(_Content):
    shares: list[_RankedShare]


def _content_of(given: Any) -> type:
    """Return what the file of a task of its kind must hold."""
    task = given.get("task") if isinstance(given, dict) else None
    return _RankedContent if isinstance(task, dict) and task.get("kind") == RETRIEVAL else _Content


def _contradiction(given: _Content) -> str | None:
    """Return which parts of a file do not fit together; None if all do."""
    task, shares = given["task"], given["shares"]
    kind, labels, num_texts = task["kind"], task["labels"], len(given["targets"])
    if kind not in (*KINDS, RETRIEVAL):
        return f"the kind of its task is {kind!r}, not one of {', '.join((*KINDS, RETRIEVAL))}"
    if not num_texts or not shares:
        return "it holds no test texts or no shares"
    if len(set(labels)) < len(labels):
        return f"task.labels names {Counter(labels).most_common(1)[0][0]!r} twice"
    for place, share in enumerate(shares if kind != RETRIEVAL else ()):
        wrong = _contradiction_of_scores(f"shares[{place}].test", share["test"], labels)
        if wrong is not None:
            return wrong
        if share["num_train"] > task["num_train"]:
            return f"shares[{place}].num_train={share['num_train']}, of task.num_train={task['num_train']} texts"
    if len({share["share"] for share in shares}) < len(shares):
        return "it holds the same share twice"
    if len(given["unseen"]) != num_texts:
        return f"{len(given['unseen'])} marks of unseen texts for {num_texts} texts"
    wrong = next(_wrong_rows(given), None)
    if wrong is None and kind != TOKENS and task["num_test"] != num_texts:
        return f"{num_texts} targets for task.num_test={task['num_test']} texts"
    return wrong


def _contradiction_of_scores(where: str, test: Mapping[str, Any], labels: Sequence[str]) -> str | None:
    for part in ("all", "unseen"):
        scores = test.get(part) or {}
        missing = next((label for label in labels if scores and label not in scores["per_class"]), None)
        if missing is not None:
            return f"{where}.{part}.per_class.{missing}.precision is missing or of a wrong type"
        sizes = {len(labels), *map(len, scores.get("confusion") or ())}
        if scores.get("confusion") is not None and (len(sizes) > 1 or len(scores["confusion"]) != len(labels)):
            return f"{where}.{part}.confusion is no table of {len(labels)} by {len(labels)} numbers"
    return None


def _wrong_rows(given: _Content) -> Iterator[str]:
    """Yield where there is not one entry for each test text, or a label that is none of the task's."""
    kind, num_labels, targets = given["task"]["kind"], len(given["task"]["labels"]), given["targets"]
    shares = sorted((share["share"], share["predictions"]) for share in given["shares"])
    for where, rows in [("targets", targets), *((f"share {share:g}", rows) for share, rows in shares)]:
        if len(rows) != len(targets):
            yield f"{len(rows)} predictions at {where} for {len(targets)} texts"
        if kind == RETRIEVAL and where != "targets":
            if not all(type(rank) is int and rank > 0 for rank in rows):
                yield f"{where} holds what is no place in a list"
            continue
        lists = [[row] for row in rows] if kind in (SINGLE_LABEL, RETRIEVAL) else rows
        for each in lists:
            if not isinstance(each, list) or not all(type(row) is int and 0 <= row < num_labels for row in each):
                yield f"{where}: {str(each)[:40]} is no label of a {kind} task of {num_labels} labels"
        if kind == MULTI_LABEL and any(len(set(each)) < len(each) for each in lists):
            yield f"{where}: a text has the same label twice"
        if kind == TOKENS and list(map(len, rows)) != list(map(len, targets)):
            yield f"{where}: a text has not one label for each of its words"


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is damaged: {what}; delete it and evaluate that seed again")
