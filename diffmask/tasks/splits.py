"""The splits of a task: examples with their labels."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffmask.config.evaluation import MULTI_LABEL, TOKENS
from diffmask.core.errors import InputError
from diffmask.files.blocks import shown

SPLITS = ("train", "dev", "test")
SPLIT_NAMES = {
    "train": "train", "training": "train", "dev": "dev", "devel": "dev", "val": "dev", "valid": "dev",
    "validation": "dev", "eval": "dev", "test": "test",
}  # fmt: skip
HELD_OUT_SHARE = 0.1
"""Share of the training texts that becomes the dev split where there is none."""


@dataclass(frozen=True)
class Split:
    """The examples of one split.

    Attributes:
        texts: Each a text, or the list of its words where words are labelled.
        pairs: The second text of each example, or None where there is one text.
        labels: Row of `Task.labels`; a list of rows for several labels a text, or one row for each word.
    """

    texts: list[Any]
    pairs: list[str] | None
    labels: list[Any]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> "Split":
        """Return some of the examples."""
        pairs = None if self.pairs is None else [self.pairs[row] for row in rows]
        return Split([self.texts[row] for row in rows], pairs, [self.labels[row] for row in rows])

    def joined(self) -> list[str]:
        """Return each example as one text, words and pairs joined."""
        texts = [text if isinstance(text, str) else " ".join(text) for text in self.texts]
        return (
            texts if self.pairs is None else [f"{text}\n{pair}" for text, pair in zip(texts, self.pairs, strict=True)]
        )


def label_names(labels: Sequence[Any], kind: str, examples: str = "texts") -> list[str]:
    """Return the names of labels in order, numbers first.

    Args:
        labels: Of all examples: a name, or several.
        kind: Of the task.
        examples: What they are called in messages.

    Raises:
        InputError: If there are fewer than two.
    """
    several = kind in (MULTI_LABEL, TOKENS)
    names = {name for label in labels for name in (label if several else [label])}
    if len(names) < 2:
        what = f"all are labelled {shown(next(iter(names)))!r}" if names else "there is no label"
        raise InputError(f"the task has nothing to tell apart: {what}; give {examples} of two labels or more")
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def hold_out(train: Split, examples: str = "texts") -> tuple[Split, Split]:
    """Return the training split without a tenth, and the tenth; equal texts stay on one side."""
    texts = train.joined()
    order = sorted(set(texts), key=lambda text: hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest())
    held = set(order[: max(1, round(HELD_OUT_SHARE * len(order)))])
    if len(held) == len(order):
        remedy = "give a file named dev" if examples == "texts" else "give some the split dev"
        raise InputError(f"the task has no dev split and too few training {examples} to take one from; {remedy}")
    sides: dict[bool, list[int]] = {True: [], False: []}
    for row, text in enumerate(texts):
        sides[text in held].append(row)
    return train.take(sides[False]), train.take(sides[True])


def hash_task(names: Sequence[str], splits: Mapping[str, Split]) -> str:
    """Return the sha256 of the names of the labels and of all examples with theirs."""
    digest = hashlib.sha256(json.dumps(names).encode())
    for split, examples in splits.items():
        digest.update(json.dumps([split, examples.texts, examples.pairs, examples.labels]).encode())
    return digest.hexdigest()
