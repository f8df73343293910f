"""A labelled task: texts of one label each, for training and held out; its test set is left alone."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.blocks import choose_column, listed, shown
from diffmask.files.records import read_records
from diffmask.tasks.columns import LABEL_COLUMNS
from diffmask.text.corpus.documents import Sources, list_files

HELD_OUT_NAMES, TEST_NAMES = ("dev", "val", "eval"), ("test",)
HELD_OUT_SHARE = 0.1
TRAINING, HELD_OUT, LEFT_OUT = "training", "held out", "left out"


@dataclass(frozen=True)
class _Examples:
    """Texts and their labels, rows of `Task.names`."""

    texts: list[str]
    labels: list[int]


@dataclass(frozen=True)
class Task:
    """A task of one label per text.

    Attributes:
        names: Of the labels, sorted.
        training: What is trained on.
        held_out: What is measured on; no text of it is trained on.
        files: Where they come from: file, and what it was used for (training, held out, left out).
    """

    names: list[str]
    training: _Examples
    held_out: _Examples
    files: list[tuple[Path, str]]


def read_task(
    sources: Sources, *, text: str | None = None, label: str | None = None, max_texts: int | None = None, seed: int = 0
) -> Task:
    """Read the texts and labels of a task.

    Of several files, those named test are left out, and those named dev, val or eval are held out. Where there are none
    of these, a tenth of the texts is held out, chosen by their content. A text that stands in both is trained on.

    Args:
        sources: Files, folders or globs of .jsonl, .csv, .tsv and .parquet, also compressed, and datasets on disk.
        text: Name of the column of texts; None finds it.
        label: Name of the column of labels; None finds it.
        max_texts: Train on so many, chosen by their content, and hold out a fifth of the number; None takes all.
        seed: Of both choices.

    Raises:
        InputError: A file cannot be read, has no labels or no texts, or all labels are the same.
    """
    files = _roles(list_files(sources))
    found: dict[str, dict[str, str]] = {TRAINING: {}, HELD_OUT: {}}
    for path, role in files:
        if role != LEFT_OUT:
            for words, name in _read_file(path, text, label):
                found[role].setdefault(words, name)
    names = sorted(set(found[TRAINING].values()))
    if len(names) < 2:
        number = len(found[TRAINING])
        what = f"all of its {number:,} texts are labelled {shown(names[0])!r}" if names else "it has no text"
        raise InputError(f"the task has nothing to tell apart: {what}; give texts of two labels or more")
    training, held_out = (
        dict(sorted(found[role].items(), key=lambda pair: _order(pair[0], seed))) for role in (TRAINING, HELD_OUT)
    )
    held_out = {words: name for words, name in held_out.items() if words not in training}
    if not held_out:
        # the end of the order, whose start is what `max_texts` takes
        last = list(training)[len(training) - max(1, round(HELD_OUT_SHARE * len(training))) :]
        held_out = {words: training.pop(words) for words in last}
    rows = {name: row for row, name in enumerate(names)}
    limit = None if max_texts is None else max(1, max_texts // 5)
    return Task(names, _examples(training, rows, max_texts), _examples(held_out, rows, limit), files)


def _examples(found: Mapping[str, str], rows: Mapping[str, int], limit: int | None) -> _Examples:
    pairs = [(words, rows[name]) for words, name in found.items() if name in rows][:limit]
    return _Examples([words for words, _ in pairs], [row for _, row in pairs])


def _order(words: str, seed: int) -> bytes:
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8, salt=str(seed).encode()[:16]).digest()


def _roles(files: list[Path]) -> list[tuple[Path, str]]:
    def role(path: Path) -> str:
        name = path.name.lower()
        return LEFT_OUT if name.startswith(TEST_NAMES) else HELD_OUT if name.startswith(HELD_OUT_NAMES) else TRAINING

    roles = [(path, role(path)) for path in files]
    if all(part != TRAINING for _, part in roles):
        return [(path, TRAINING) for path in files]
    return roles


def _read_file(path: Path, text: str | None, label: str | None) -> Iterator[tuple[str, str]]:
    """Yield texts and labels; rows without a text are skipped."""
    columns: tuple[str, str] | None = None
    for number, row in read_records(path):
        if columns is None:
            text_names = [name for name in row if row[name] is None or isinstance(row[name], str)]
            label = _label_column(path, list(row), label)
            columns = choose_column(path, list(row), [name for name in text_names if name != label], text), label
        words, name = row.get(columns[0]), row.get(columns[1])
        if words is None or (isinstance(words, str) and not words.strip()):
            continue
        if not isinstance(words, str):
            raise InputError(f"{path}: row {number}: column {columns[0]!r} must hold text, not {type(words).__name__}")
        if name is None or isinstance(name, float | list | dict) or not str(name).strip():
            raise InputError(
                f"{path}: row {number} has no label in column {columns[1]!r} ({shown(str(name))}); "
                "give every text one label, a word or a whole number"
            )
        yield words.strip(), str(name).strip()


def _label_column(path: Path, names: list[str], wanted: str | None) -> str:
    if wanted is not None:
        return choose_column(path, names, names, wanted)
    known = next((name for candidate in LABEL_COLUMNS for name in names if name.strip().lower() == candidate), None)
    if known is None:
        raise InputError(f"{path} has no column of labels; name it with --label, one of: {listed(names)}")
    return known
