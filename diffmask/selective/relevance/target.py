"""What documents should be like: the texts of a domain, or the training texts of a task; and what none may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from diffmask.config.evaluation import TaskSettings
from diffmask.core.errors import InputError
from diffmask.files.blocks import listed
from diffmask.files.records import READERS, read_records
from diffmask.files.splits import splits_named
from diffmask.files.streams import split_suffix
from diffmask.tasks.columns import has_labels
from diffmask.tasks.task import Split, read_examples
from diffmask.text.corpus.documents import Sources, list_files, read_documents

_PLAIN = next(iter(READERS))


@dataclass(frozen=True)
class Target:
    """Texts that documents should be like, and texts that they must not repeat.

    Attributes:
        texts: What documents should be like.
        files: Where these are from.
        left_out: Texts of dev and test, and others that were named: no near-copy of them is taken.
        left_out_files: Where these are from.
    """

    texts: list[str]
    files: list[Path]
    left_out: list[str]
    left_out_files: list[Path]


def read_target(sources: Sources, column: str | None = None, leave_out: Sequence[str] = ()) -> Target:
    """Read the texts of a domain or a task.

    Of files that are named dev (or val, valid, ...) and test the texts are left out; the others are what documents
    should be like.

    Args:
        sources: Files, folders or globs: a corpus, or a task as `diffmask evaluate` reads one.
        column: Name of the text column; None finds it.
        leave_out: More files whose texts are left out.

    Raises:
        InputError: If a file cannot be read, all of them are named dev or test, or there is no text in one.
    """
    files = list_files(sources, column)
    splits = {path: (splits_named(path) or ["train"])[0] for path in files}
    chosen = [path for path, split in splits.items() if split == "train"]
    if not chosen:
        raise InputError(
            f"--like has only texts to evaluate on ({listed(path.name for path in files)}), and no file named train; "
            "name the file of the training texts, or the folder of the task"
        )
    held = [path for path in files if path not in chosen]
    named = list_files(leave_out) if leave_out else []
    texts = [text for path in chosen for text in _texts(path, column)]
    left_out = [text for path in held for text in _texts(path, column)]
    left_out += [text for path in named for text in _texts(path, None)]
    return Target(texts, chosen, left_out, [*held, *named])


def _texts(path: Path, column: str | None) -> list[str]:
    """Return the texts of a file; words that are labelled are joined, and so are pairs of texts."""
    if column is None and split_suffix(path)[0] != _PLAIN and splits_named(path):
        first = next(islice(read_records(path), 1), None)
        if first is not None and has_labels(first[1]):
            _, rows = read_examples([path], TaskSettings(()))
            pairs = [pair for _, pair, _ in rows if pair is not None]
            joined = Split([text for text, _, _ in rows], pairs or None, []).joined()
            return [text for text in joined if text.strip()]
    return [document.text for document in read_documents([path], column)]
