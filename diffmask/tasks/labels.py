"""Labels that cannot be meant: numbers among words, one number written in two ways, and what training does not know."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, TOKENS
from diffmask.core.errors import InputError
from diffmask.files.blocks import listed, shown

_KINDS = {bool: "true or false", int: "a number", str: "text"}

_logger = logging.getLogger(__name__)


class LabelKinds:
    """Refuses a column of a file in which some labels are numbers and others text.

    Args:
        path: The file.
        column: The column.
    """

    def __init__(self, path: Path, column: str):
        self._where = f"{path}: column {column!r}"
        self._first: dict[str, tuple[int, Any]] = {}

    def add(self, number: int, value: Any) -> None:
        """Look at the label or labels of a row.

        Raises:
            InputError: If they are of another kind than those before.
        """
        for each in value if isinstance(value, list) else [value]:
            self._first.setdefault(_KINDS.get(type(each), type(each).__name__), (number, each))
        if len(self._first) > 1:
            said = " and ".join(
                f"{kind} in row {row} ({shown(repr(each))})" for kind, (row, each) in self._first.items()
            )
            raise InputError(f"{self._where} holds {said}; write all labels as text, or all as numbers")


def refuse_same_numbers(names: Iterable[str]) -> None:
    """Refuse labels that are one number, written in two ways.

    Raises:
        InputError: For the first two.
    """
    seen: dict[float, str] = {}
    for name in sorted(names):
        try:
            other = seen.setdefault(float(name), name)
        except ValueError:
            continue
        if other != name:
            raise InputError(
                f"the labels {other!r} and {name!r} are the same number; write it in one way, or it is two classes"
            )


def check_learnable(labels: Mapping[str, Sequence[Any]], kind: str, examples: str = "texts") -> None:
    """Refuse labels that no training example has; where there may be several, as of rare ones, they are told.

    Args:
        labels: Label of every example by its split: a name, or several.
        kind: Kind of the task.
        examples: What the examples are called in messages.

    Raises:
        InputError: If an example of test or dev has such a label as its only one, or is a clip.
    """

    def count(split: str) -> Counter[str]:
        several = kind in (MULTI_LABEL, TOKENS)
        return Counter(name for label in labels.get(split, ()) for name in (label if several else [label]))

    known = count("train")
    for split in ("test", "dev"):
        unknown = {name: number for name, number in count(split).items() if name not in known}
        if not unknown:
            continue
        found = listed(f"{name} ({number})" for name, number in unknown.items())
        sentence = f"no training {examples.removesuffix('s')} has these labels of {split}: {found}"
        if kind == SINGLE_LABEL or examples == "clips":
            raise InputError(f"{sentence}; add such {examples} to train, or take them out of {split}")
        _logger.warning("%s; they cannot be learned, and count as errors", sentence)
