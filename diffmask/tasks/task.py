"""Labelled tasks: examples with their labels, in the splits train, dev and test, read from files.

`diffmask evaluate`, the task that is trained beside masked words, and `diffmask selective` read their texts here.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from diffmask.config.evaluation import MULTI_LABEL, TOKENS, TaskSettings
from diffmask.config.limits import check_limits
from diffmask.core.errors import InputError
from diffmask.core.types import IGNORE_INDEX
from diffmask.files.blocks import listed, shown
from diffmask.files.records import read_records
from diffmask.files.splits import SPLITS, splits_named
from diffmask.tasks.columns import Columns, ColumnSettings, Example
from diffmask.tasks.labels import LabelKinds, check_learnable, refuse_same_numbers
from diffmask.tasks.metrics import OUTSIDE, score
from diffmask.text.corpus.documents import list_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from diffmask.tasks.leakage import Leakage

_logger = logging.getLogger(__name__)

Row = dict[str, Any]
"""An example as token ids, with its labels."""
HELD_OUT_SHARE = 0.1
"""Share of the training texts that becomes the dev split where there is none."""


@dataclass(frozen=True)
class Split:
    """The examples of one split.

    Attributes:
        texts: The text of each example, or the list of its words where words are labelled.
        pairs: The second text of each example; None where there is one text.
        labels: The label of each example as a row of `Task.labels`; a list of rows where a text has several labels, or
            one row for each word.
    """

    texts: list[Any]
    pairs: list[str] | None
    labels: list[Any]

    @classmethod
    def of(cls, rows: Sequence[Example], kind: str, names: Sequence[str]) -> Self:
        """Return examples of a kind of task as a split, their labels as rows of the names."""
        rows_of = {name: row for row, name in enumerate(names)}
        several = kind in (MULTI_LABEL, TOKENS)
        labels: list[Any] = [[rows_of[name] for name in label] if several else rows_of[label] for _, _, label in rows]
        if kind == MULTI_LABEL:
            labels = [sorted(set(label)) for label in labels]
        pairs = [pair for _, pair, _ in rows if pair is not None]
        return cls([text for text, _, _ in rows], pairs or None, labels)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Self:
        """Return some of the examples."""
        pairs = None if self.pairs is None else [self.pairs[row] for row in rows]
        return type(self)([self.texts[row] for row in rows], pairs, [self.labels[row] for row in rows])

    def joined(self) -> list[str]:
        """Return each example as one text, words and pairs joined."""
        texts = [text if isinstance(text, str) else " ".join(text) for text in self.texts]
        return (
            texts if self.pairs is None else [f"{text}\n{pair}" for text, pair in zip(texts, self.pairs, strict=True)]
        )

    def hold_out(self, examples: str = "texts") -> tuple[Self, Self]:
        """Return the split without a tenth of it, and that tenth; equal texts stay on one side."""
        rest, held = choose_held_out(self.joined(), examples)
        return self.take(rest), self.take(held)

    def encode(self, kind: str, num_labels: int, tokenizer: "PreTrainedTokenizerBase", max_length: int) -> list[Row]:
        """Return a row for each example: input_ids (and token_type_ids, if the model has them), labels, and words.

        `labels` is the row of the label; where a text has several labels, a float for each of the task's labels; where
        words are labelled, one for each token: that of its word at the first token of the word, -100 elsewhere. Such
        rows have `words` too: the place of the first token of each word, -1 for a word beyond `max_length`.
        """
        rows: Any = tokenizer(
            self.texts,
            self.pairs,
            is_split_into_words=kind == TOKENS,
            truncation="longest_first",
            max_length=max_length,
        )
        made = []
        for place, label in enumerate(self.labels):
            row = {name: rows[name][place] for name in ("input_ids", "token_type_ids") if name in rows}
            if kind == TOKENS:
                words = rows.word_ids(place)
                row["words"] = _first_places(words, len(label))
                row["labels"] = [IGNORE_INDEX] * len(words)
                for word, first in enumerate(row["words"]):
                    if first >= 0:
                        row["labels"][first] = label[word]
            elif kind == MULTI_LABEL:
                row["labels"] = [float(number in set(label)) for number in range(num_labels)]
            else:
                row["labels"] = label
            made.append(row)
        return made


def choose_held_out(texts: Sequence[str], examples: str = "texts") -> tuple[list[int], list[int]]:
    """Return the places of all examples but a tenth, and those of that tenth; equal texts stay on one side.

    Args:
        texts: Text of each example, or whatever tells it from others.
        examples: What the examples are called in messages.

    Raises:
        InputError: If there are too few.
    """
    order = sorted(set(texts), key=lambda text: hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest())
    held = set(order[: max(1, round(HELD_OUT_SHARE * len(order)))])
    if len(held) == len(order):
        remedy = "give a file named dev" if examples == "texts" else "give some the split dev"
        raise InputError(f"the task has no dev split and too few training {examples} to take one from; {remedy}")
    sides: dict[bool, list[int]] = {True: [], False: []}
    for row, text in enumerate(texts):
        sides[text in held].append(row)
    return sides[False], sides[True]


def _first_places(words: Sequence[int | None], num_words: int) -> list[int]:
    places = [-1] * num_words
    for place, word in enumerate(words):
        if word is not None and places[word] < 0:
            places[word] = place
    return places


def label_names(labels: Sequence[Any], kind: str, examples: str = "texts") -> list[str]:
    """Return the names of labels in order, numbers first.

    Args:
        labels: Label of every example: a name, or several.
        kind: Kind of the task.
        examples: What the examples are called in messages.

    Raises:
        InputError: If there are fewer than two, or one number is written in two ways.
    """
    several = kind in (MULTI_LABEL, TOKENS)
    names = {name for label in labels for name in (label if several else [label])}
    if len(names) < 2:
        what = f"all are labelled {shown(next(iter(names)))!r}" if names else "there is no label"
        raise InputError(f"the task has nothing to tell apart: {what}; give {examples} of two labels or more")
    refuse_same_numbers(names)
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def hash_task(names: Sequence[str], splits: Mapping[str, Split]) -> str:
    """Return the sha256 of the names of the labels and of all examples with theirs."""
    digest = hashlib.sha256(json.dumps(names).encode())
    for split, examples in splits.items():
        digest.update(json.dumps([split, examples.texts, examples.pairs, examples.labels]).encode())
    return digest.hexdigest()


_SHARD = re.compile(r"-\d{5}-of-\d{5}\b")
"""What the parts of one large file are named by."""


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
        """What decides when training stops, and which settings are chosen."""
        return self.splits["dev"]

    @property
    def test(self) -> Split:
        """What is measured on, once."""
        return self.splits["test"]

    def sources(self) -> dict[str, Any]:
        """Return for the record of a result where the examples come from."""
        return {"files": {name: [path.name for path in paths] for name, paths in self.files.items()}}

    def summarise(self, found: "Leakage") -> str:
        """Return in a sentence or two how many test examples are also in another split."""
        return found.summary()

    def score(self, targets: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Any]:
        """Return what `metrics.score` returns for rows of the task's labels."""
        return score(self.kind, self.labels, targets, predictions, outside=self.outside)


def read_task(settings: TaskSettings) -> Task:
    """Read a task from a folder or files that are named train, dev (or val, valid, ...) and test.

    Where no file is named dev, a tenth of the training texts becomes the dev split, chosen by its content.

    Raises:
        InputError: A file cannot be read, a split is missing or empty, or labels are missing or all the same.
    """
    check_limits(settings, "task.")
    files = _split_files(settings.files)
    columns: Columns | None = None
    found: dict[str, list[Example]] = {}
    for split, paths in files.items():
        columns, found[split] = read_examples(paths, settings, columns)
        if not found[split]:
            raise InputError(f"{paths[0]} has no rows; a task needs texts and labels in train, dev and test")
    assert columns is not None
    labels = {split: [label for _, _, label in rows] for split, rows in found.items()}
    names = label_names([label for part in labels.values() for label in part], columns.kind)
    check_learnable(labels, columns.kind)
    splits = {split: Split.of(rows, columns.kind, names) for split, rows in found.items()}
    if dev_from_train := "dev" not in splits:
        splits["train"], splits["dev"] = splits["train"].hold_out()
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


def _is_dataset_dict(path: Path) -> bool:
    return path.is_dir() and (path / "dataset_dict.json").is_file()


def read_examples(
    paths: Sequence[Path], settings: ColumnSettings, columns: Columns | None = None, *, single_texts: bool = False
) -> tuple[Columns | None, list[Example]]:
    """Return the columns and the examples of files.

    Args:
        paths: The files.
        settings: Names of their columns, if they are given.
        columns: The columns to read; None finds them by the first row.
        single_texts: Whether one text a row is wanted: no pair of columns is looked for, rows without a text are
            skipped, and texts are stripped.

    Raises:
        InputError: If a file cannot be read, or a row lacks a text or a label.
    """
    examples: list[Example] = []
    num_blank = 0
    for path in paths:
        kinds = None
        for number, row in read_records(path):
            columns = columns or Columns.find(path, row, settings, single_texts=single_texts)
            kinds = kinds or LabelKinds(path, columns.label)
            is_blank = _is_blank(row.get(columns.text))
            num_blank += is_blank
            if single_texts and is_blank:
                continue
            text, pair, label = columns.read(f"{path}: row {number}", row)
            kinds.add(number, row[columns.label])
            examples.append((text.strip() if single_texts else text, pair, label))
    if columns is not None:
        blank = f", {num_blank:,} without text" + ", left out" * single_texts if num_blank else ""
        _logger.info("read %s of %s: %s rows%s", columns, listed(path.name for path in paths), len(examples), blank)
    return columns, examples


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


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


def _name(sources: Sequence[str]) -> str:
    path = Path(sources[0]).resolve()
    return path.name if path.is_dir() else path.parent.name
