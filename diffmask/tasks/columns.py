"""Which columns of a task's rows hold texts and labels, and how they are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from diffmask.config.evaluation import MULTI_LABEL, SINGLE_LABEL, TOKENS
from diffmask.core.errors import InputError
from diffmask.files.blocks import choose_column, listed, shown

_LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "relation", "intent")
"""Names that a column of labels is known by, first choice first."""
_WORD_COLUMNS = ("tokens", "words")
_WORD_LABEL_COLUMNS = ("tags", "ner_tags", "pos_tags", "labels", "token_labels")
_PAIR_COLUMNS = (
    ("text", "text_pair"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
)
"""Names that the two columns of a text pair are known by."""

Example = tuple[Any, str | None, Any]
"""A text (or its words), the second text where there is one, and the name of the label or labels."""


class ColumnSettings(Protocol):
    """What settings say about the columns of a task; None has them found by name."""

    @property
    def kind(self) -> str | None:
        """single-label, multi-label or tokens."""

    @property
    def text(self) -> str | None:
        """Column of the text, or of its words."""

    @property
    def pair(self) -> str | None:
        """Column of the second text."""

    @property
    def label(self) -> str | None:
        """Column of the label or labels."""

    @property
    def separator(self) -> str:
        """What divides the labels of one text in a table."""
        ...


@dataclass(frozen=True)
class Columns:
    """The columns that are read, and the kind of task that they make.

    Attributes:
        kind: single-label, multi-label or tokens.
        text: Column of the text, or of its words.
        pair: Column of the second text, if there is one.
        label: Column of the label or labels.
        separator: What divides the labels of one text in a table of plain text.
    """

    kind: str
    text: str
    pair: str | None
    label: str
    separator: str

    def __str__(self) -> str:
        """Return which columns are read, as part of a sentence."""
        texts = [self.text] if self.pair is None else [self.text, self.pair]
        return f"column {' and '.join(map(repr, texts))} with labels of {self.label!r}"

    @classmethod
    def find(cls, path: Path, row: Mapping[str, Any], settings: ColumnSettings, *, single_texts: bool = False) -> Self:
        """Return the columns to read, by the first row of a task.

        Args:
            path: File of the row, for messages.
            row: The row.
            settings: Names of columns, if they are given.
            single_texts: Whether one text a row is wanted, which may be missing in some, and no pair.

        Raises:
            InputError: If a column that was named is not there, or one that was not named cannot be found.
        """
        names = list(row)
        words = _words_column(names, row, settings)
        if words is not None:
            label = _label(path, names, settings.label, _WORD_LABEL_COLUMNS + _LABEL_COLUMNS, words)
            return cls(TOKENS, words, None, label, settings.separator)
        label = _label(path, names, settings.label, _LABEL_COLUMNS, None)
        text, pair = _text_columns(path, row, label, settings, single_texts=single_texts)
        kind = settings.kind or (MULTI_LABEL if isinstance(row[label], list) else SINGLE_LABEL)
        if kind == TOKENS:
            raise InputError(
                f"{path}: column {text!r} holds {shown(str(row[text]))!r}, not a list of words; token classification "
                "needs lists of words and of labels, in .jsonl or .parquet"
            )
        return cls(kind, text, pair, label, settings.separator)

    def read(self, where: str, row: Mapping[str, Any]) -> Example:
        """Return the example that a row holds.

        Args:
            where: File and row, for messages.
            row: Values by column.

        Raises:
            InputError: If it lacks a text or a label.
        """
        text = self._text(where, row.get(self.text))
        pair = None if self.pair is None else _string(where, self.pair, row.get(self.pair))
        label = self._label(where, row.get(self.label))
        if self.kind == TOKENS and len(text) != len(label):
            raise InputError(f"{where} has {len(text)} words and {len(label)} labels; give each word one label")
        return text, pair, label

    def _text(self, where: str, value: Any) -> Any:
        """Return the text of a row, or its words."""
        if self.kind != TOKENS:
            return _string(where, self.text, value)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value) or not value:
            raise InputError(f"{where}: column {self.text!r} must hold a list of words")
        return value

    def _label(self, where: str, value: Any) -> Any:
        """Return the name of a row's label, or the list of its names."""
        if self.kind == SINGLE_LABEL:
            return _label_name(where, self.label, value)
        if isinstance(value, str) and self.kind == MULTI_LABEL:
            value = [part.strip() for part in value.split(self.separator) if part.strip()]
        if not isinstance(value, list):
            raise InputError(f"{where}: column {self.label!r} must hold a list of labels, not {shown(str(value))!r}")
        return [_label_name(where, self.label, each) for each in value]


def has_labels(row: Mapping[str, Any]) -> bool:
    """Tell whether a row has a column that labels are known by.

    >>> has_labels({"text": "a kinase", "Label": "yes"}), has_labels({"text": "a kinase"})
    (True, False)
    """
    return any(name.strip().lower() in _LABEL_COLUMNS + _WORD_LABEL_COLUMNS for name in row)


def _words_column(names: list[str], row: Mapping[str, Any], settings: ColumnSettings) -> str | None:
    """Return the column of lists of words, if that is what the rows hold."""
    if settings.kind not in (None, TOKENS):
        return None
    if settings.text is not None:
        return settings.text if isinstance(row.get(settings.text), list) else None
    lists = [name for name in names if isinstance(row[name], list)]
    return next((name for name in _WORD_COLUMNS if name in lists), None)


def _label(path: Path, names: list[str], wanted: str | None, known: tuple[str, ...], words: str | None) -> str:
    if wanted is not None:
        return choose_column(path, names, names, wanted)
    found = next((name for known_name in known for name in names if name.strip().lower() == known_name), None)
    if found is None or found == words:
        raise InputError(f"{path} has no column of labels; name it with --label, one of: {listed(names)}")
    return found


def _text_columns(
    path: Path, row: Mapping[str, Any], label: str, settings: ColumnSettings, *, single_texts: bool
) -> tuple[str, str | None]:
    names = list(row)
    if settings.text is None and settings.pair is None and not single_texts:
        pair = next((pair for pair in _PAIR_COLUMNS if pair[0] in row and pair[1] in row and label not in pair), None)
        if pair is not None:
            return pair
    texts = [
        name
        for name in names
        if name not in (label, settings.pair) and (isinstance(row[name], str) or (single_texts and row[name] is None))
    ]
    text = choose_column(path, names, texts, settings.text)
    return text, None if settings.pair is None else choose_column(path, names, names, settings.pair)


def _string(where: str, column: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: column {column!r} must hold text, not {shown(str(value))!r}")
    return value


def _label_name(where: str, column: str, value: Any) -> str:
    # "nan" is how pandas writes a label that is missing
    if value is None or isinstance(value, float | list | dict) or str(value).strip().lower() in ("", "nan"):
        raise InputError(
            f"{where} has no label in column {column!r} ({shown(str(value))}); give a word or a whole number"
        )
    return str(value).strip()
