"""A task to evaluate on: texts and their labels, in the splits train, dev and test."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import KINDS, MULTI_LABEL, TOKENS, TaskSettings
from diffmask.core.errors import InputError
from diffmask.files.blocks import listed
from diffmask.files.records import read_records
from diffmask.tasks.columns import Columns, find_columns, read_label, read_pair, read_text
from diffmask.tasks.metrics import OUTSIDE, score
from diffmask.tasks.splits import SPLIT_NAMES, SPLITS, Split, hash_task, hold_out, label_names
from diffmask.text.corpus.documents import list_files

_SHARD = re.compile(r"-\d{5}-of-\d{5}\b")
"""What the parts of one large file are named by."""
Example = tuple[Any, str | None, Any]
"""A text (or its words), the second text where there is one, and the name of the label or labels."""


@dataclass(frozen=True)
class Task:
    """A labelled task.

    Attributes:
        name: What it is called.
        kind: single-label, multi-label or tokens.
        labels: Names of the labels.
        splits: train, dev and test.
        hash: sha256 of all texts and labels.
        dev_from_train: Whether the dev split was taken from the training texts, because there was none.
        outside: For tokens, the label of words that are part of nothing, which F1 leaves out.
        files: Files of each split.
    """

    name: str
    kind: str
    labels: list[str]
    splits: Mapping[str, Split]
    hash: str
    dev_from_train: bool = False
    outside: str | None = None
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    @property
    def examples(self) -> str:
        """What the examples are called."""
        return "texts"

    @property
    def train(self) -> Split:
        """What is trained on."""
        return self.splits["train"]

    @property
    def dev(self) -> Split:
        """What training is stopped and settings are chosen by."""
        return self.splits["dev"]

    @property
    def test(self) -> Split:
        """What is measured on, once."""
        return self.splits["test"]

    def score(self, targets: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Any]:
        """Return what `metrics.score` returns for rows of the task's labels."""
        return score(self.kind, self.labels, targets, predictions, outside=self.outside)


def read_task(settings: TaskSettings) -> Task:
    """Read a task from a folder or files that are named train, dev (or val, valid, ...) and test.

    Where no file is named dev, a tenth of the training texts becomes the dev split, chosen by their content.

    Raises:
        InputError: A file cannot be read, a split is missing or empty, or labels are missing or all the same.
    """
    if settings.kind is not None and settings.kind not in KINDS:
        raise InputError(f"unknown kind of task {settings.kind!r}; choose from: {', '.join(KINDS)}")
    files = _split_files(settings.files)
    columns: Columns | None = None
    found: dict[str, list[Example]] = {}
    for split, paths in files.items():
        columns, found[split] = read_examples(paths, settings, columns)
        if not found[split]:
            raise InputError(f"{paths[0]} has no rows; a task needs texts and labels in train, dev and test")
    assert columns is not None
    names = label_names([label for rows in found.values() for _, _, label in rows], columns.kind)
    splits = {split: make_split(rows, columns, names) for split, rows in found.items()}
    if dev_from_train := "dev" not in splits:
        splits["train"], splits["dev"] = hold_out(splits["train"])
    name = settings.name or _name(settings.files)
    ordered = {split: splits[split] for split in SPLITS}
    outside = _outside(settings.outside, names) if columns.kind == TOKENS else None
    return Task(name, columns.kind, names, ordered, hash_task(names, ordered), dev_from_train, outside, files)


def _split_files(sources: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of each split, as their names tell."""
    paths: list[Path] = []
    for path in list_files(sources):
        inside = sorted(child for child in path.iterdir() if child.is_dir()) if _is_dataset_dict(path) else [path]
        paths += inside
    files: dict[str, list[Path]] = {}
    for path in paths:
        for split in splits_named(path)[:1]:
            files.setdefault(split, []).append(path)
    given = {Path(source).resolve() for source in sources}
    for split, found in files.items():
        one_by_one = all(path.resolve() in given for path in found)
        wholes = {(path.parent, _SHARD.sub("", path.name)) for path in found}
        shards = len(wholes) == 1 and all(_SHARD.search(path.name) for path in found)
        if len(found) > 1 and not one_by_one and not shards:
            raise InputError(
                f"several files are named {split} ({listed(path.name for path in found)}); give the files of the task "
                "one by one, or leave one of each name"
            )
    for split in ("train", "test"):
        if split not in files:
            raise InputError(
                f"the task has no file named {split} ({listed(path.name for path in paths)}); "
                "give a folder or files named train, dev and test, as .jsonl, .csv, .tsv or .parquet"
            )
    return {split: files[split] for split in SPLITS if split in files}


def splits_named(path: Path) -> list[str]:
    """Return the splits that the name of a file speaks of, in the order in which it does.

    >>> splits_named(Path("data/chem-val.jsonl")), splits_named(Path("train_and_test.csv"))
    (['dev'], ['train', 'test'])
    """
    return [SPLIT_NAMES[part] for part in re.split(r"[^a-z]+", path.name.lower()) if part in SPLIT_NAMES]


def _is_dataset_dict(path: Path) -> bool:
    return path.is_dir() and (path / "dataset_dict.json").is_file()


def read_examples(
    paths: Sequence[Path], settings: TaskSettings, columns: Columns | None = None
) -> tuple[Columns | None, list[Example]]:
    """Return the columns and the examples of files.

    Args:
        paths: The files.
        settings: How they are read.
        columns: Which columns; None lets the first row tell.

    Raises:
        InputError: If a file cannot be read, or a row lacks a text or a label.
    """
    examples: list[Example] = []
    for path in paths:
        for number, row in read_records(path):
            columns = columns or find_columns(path, row, settings)
            examples.append(_example(path, number, row, columns))
    return columns, examples


def _example(path: Path, number: int, row: Mapping[str, Any], columns: Columns) -> Example:
    where = f"{path}: row {number}"
    text = read_text(where, row, columns)
    label = read_label(where, row, columns)
    if columns.kind == TOKENS and len(text) != len(label):
        raise InputError(f"{where} has {len(text)} words and {len(label)} labels; give each word one label")
    return text, read_pair(where, row, columns), label


def _outside(wanted: str | None, names: Sequence[str]) -> str | None:
    """Return the label of words that are part of nothing."""
    if wanted is None and all(name.isdecimal() for name in names):
        raise InputError(
            f"the labels of words are numbers ({listed(names)}), which do not tell which one is outside of everything; "
            "name it with --outside, such as --outside 0, or count all of them with --outside none"
        )
    if wanted is None:
        return OUTSIDE if OUTSIDE in names else None
    if wanted not in (*names, "none"):
        raise InputError(f"no word has the label {wanted!r} of task.outside; choose from: {listed(names)}, none")
    return wanted if wanted in names else None


def make_split(rows: Sequence[Example], columns: Columns, names: Sequence[str]) -> Split:
    """Return examples as a split, their labels as rows of the names."""
    rows_of = {name: row for row, name in enumerate(names)}
    several = columns.kind in (MULTI_LABEL, TOKENS)
    labels: list[Any] = [[rows_of[name] for name in label] if several else rows_of[label] for _, _, label in rows]
    if columns.kind == MULTI_LABEL:
        labels = [sorted(set(label)) for label in labels]
    pairs = None if columns.pair is None else [pair or "" for _, pair, _ in rows]
    return Split([text for text, _, _ in rows], pairs, labels)


def _name(sources: Sequence[str]) -> str:
    path = Path(sources[0]).resolve()
    return path.name if path.is_dir() else path.parent.name
