"""A lexicon: a table of words and their classes, as tab-separated or comma-separated values."""

import csv
import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.blocks import Block, shown
from diffmask.files.lines import decode_lines
from diffmask.files.streams import ByteStream, read_head
from diffmask.text.annotate.span_labels import CLASSES
from diffmask.text.corpus.words import PUNCT, char_classes, split_words
from diffmask.text.segment.segmenter import Segments

_LONGEST_LINE = 1_000
DELIMITERS = {".tsv": "\t", ".csv": ","}
_HEADERS = ({"word", "class"}, {"type", "class"}, {"word", "label"}, {"word", "tag"}, {"word", "pos"})


@dataclass(frozen=True)
class LexiconClasses:
    """The class of a word is that of its type in a file; words that are not in it have none.

    Attributes:
        path: The file.
        key: Hash of its content.
        names: Its classes, sorted.
    """

    path: str
    key: str
    names: tuple[str, ...]
    columns: tuple[str, ...] = field(default=(CLASSES,), init=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the class of each unit."""
        return {CLASSES: segments.types(_rows(self.path, self.key, self.names))}


def read_lexicon(path: str | Path) -> LexiconClasses:
    """Read a lexicon and check every line of it.

    Raises:
        InputError: If it is not such a file, an entry is no single word, or a word has two classes.
    """
    path = Path(path).absolute()
    data = read_text_file(path, "class file")
    classes = _parse(path, data)
    if not classes:
        raise InputError(f"{path} has no word in it; write a word and its class in each line")
    key = f"lexicon {hashlib.sha256(data).hexdigest()}"
    return LexiconClasses(str(path), key, tuple(sorted(set(classes.values()))))


def read_text_file(path: Path, what: str) -> bytes:
    """Return the content of a small text file, without a byte order mark.

    Args:
        path: The file.
        what: What it is, for messages.

    Raises:
        InputError: If it does not exist, is empty, or not text.
    """
    if not path.is_file():
        raise InputError(f"the {what} {path} does not exist; check the path")
    with ByteStream(path) as stream:
        parts = [read_head(stream)]
        while chunk := stream.read(1 << 20):
            parts.append(chunk)
    return b"".join(parts).removeprefix(b"\xef\xbb\xbf")


def decoded_lines(path: Path, data: bytes) -> list[str]:
    """Return the lines of a text file; the first is line 1.

    Raises:
        InputError: If it is not UTF-8.
    """
    return [line.removesuffix("\r") for line in decode_lines(Block(str(path), 1, 1.0, data, 0))]


def _parse(path: Path, data: bytes) -> dict[str, str]:
    classes: dict[str, str] = {}
    first_lines: dict[str, int] = {}
    for number, line in enumerate(decoded_lines(path, data), 1):
        cells = _cells(line, DELIMITERS[path.suffix.lower()])
        if not any(cells) or (number == 1 and {cell.lower() for cell in cells} in _HEADERS):
            continue
        if len(cells) != 2 or not all(cells):
            raise InputError(f"{path}: line {number} is not a word and its class: {shown(line)}")
        word = _checked_word(f"{path}: line {number}", cells[0])
        if classes.setdefault(word, cells[1]) != cells[1]:
            raise InputError(
                f"{path}: lines {first_lines[word]} and {number} give {word!r} two classes, {classes[word]!r} and "
                f"{cells[1]!r}; keep one, since a lexicon does not know the context"
            )
        first_lines.setdefault(word, number)
    return classes


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == "\t" or len(line) > _LONGEST_LINE:
        return [cell.strip() for cell in line.split(delimiter)]
    return [cell.strip() for cell in next(csv.reader([line]), [])]


def _checked_word(where: str, entry: str) -> str:
    words = split_words(entry)
    if not words and len(entry) == 1 and char_classes(entry)[0] == PUNCT:
        return entry
    if words != [entry.lower()]:
        parts = f"the words {' '.join(words)}" if words else "no word"
        raise InputError(
            f"{where}: {entry!r} does not align with the words of a text, it is {parts}; give each word (or "
            "punctuation character) a line of its own, or annotate texts in a .jsonl with spans"
        )
    return words[0]


@functools.lru_cache(maxsize=4)
def _rows(path: str, key: str, names: tuple[str, ...]) -> dict[str, int]:
    """Return the row of each word's class; read once in each process."""
    row_of = {name: row for row, name in enumerate(names)}
    return {word: row_of[name] for word, name in _parse(Path(path), read_text_file(Path(path), "class file")).items()}
