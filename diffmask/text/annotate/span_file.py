"""A span file: labels of stretches of text, made by hand or by another tool, found again by the text itself.

    index = index_span_file("spans.jsonl")
    FileClasses(index)      # the label of the span that a word begins in, as its class
    FileSalient(index)      # the spans as salient spans

The file stays on the disk; 16 bytes for each of its documents are kept. `span_lines` says what its lines look like.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.blocks import shown
from diffmask.files.streams import open_seekable
from diffmask.text.annotate.span_labels import (
    CLASSES,
    SALIENT,
    LabelledSpans,
    longest_first,
    salient_units,
    span_classes,
    texts_of,
)
from diffmask.text.annotate.span_lines import Annotated, parse_line
from diffmask.text.segment.annotate import STARTS
from diffmask.text.segment.segmenter import Segments

FORMATS = (".jsonl", ".json")


@dataclass(frozen=True, eq=False)
class SpanIndex:
    """Where each document of a span file stands.

    Attributes:
        path: The file.
        key: Hash of its content.
        names: Its labels, sorted.
        hashes: Hash of each document's text, rising; int64 (N,).
        offsets: First byte of its line, int64 (N,).
    """

    path: str
    key: str
    names: tuple[str, ...]
    hashes: np.ndarray
    offsets: np.ndarray

    def spans(self, segments: Segments) -> LabelledSpans:
        """Return the spans of all texts.

        Raises:
            InputError: If a text with a word in it is not in the file.
        """
        row_of = {name: row for row, name in enumerate(self.names)}
        found: list[tuple[int, int, int]] = []
        with Path(self.path).open("rb") as file:
            for text, first in zip(texts_of(segments), segments.text_starts.tolist(), strict=False):
                if text.strip():
                    shift = first + len(text) - len(text.lstrip())
                    spans = self._document(file, text.strip()).spans
                    found += [(start + shift, stop + shift, row_of[label]) for start, stop, label in spans]
        return longest_first(found)

    def _document(self, file: IO[bytes], text: str) -> Annotated:
        wanted = _hash_text(text)
        place = int(self.hashes.searchsorted(wanted))
        if place < len(self.hashes) and self.hashes[place] == wanted:
            document = _read_at(file, self.path, int(self.offsets[place]))
            if document is not None and document.text == text:
                return document
        raise InputError(
            f"{self.path} has no annotation for a text of the corpus; annotate every document, whole and letter for "
            f"letter (an empty list of spans is allowed), or leave out the text: {shown(text)}"
        )


@dataclass(frozen=True, eq=False)
class FileClasses:
    """The class of a word is the label of the span that it begins in."""

    index: SpanIndex
    columns: tuple[str, ...] = field(default=(CLASSES,), init=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of the file."""
        return self.index.names

    @property
    def key(self) -> str:
        """Hash of the file."""
        return f"classes {self.index.key}"

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the class of each unit; -1 outside of all spans."""
        return span_classes(segments, self.index.spans(segments))


@dataclass(frozen=True, eq=False)
class FileSalient:
    """The spans of a file are masked as wholes."""

    index: SpanIndex
    columns: tuple[str, ...] = field(default=(SALIENT, STARTS), init=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of the file."""
        return self.index.names

    @property
    def key(self) -> str:
        """Hash of the file."""
        return f"salient {self.index.key}"

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the label of each unit's span, and where spans begin."""
        return salient_units(segments, self.index.spans(segments))


def index_span_file(path: str | Path) -> SpanIndex:
    """Read a span file once, check every line of it, and return where its documents stand.

    Raises:
        InputError: If it is not such a file, or annotates a text twice and differently; the message names the line.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise InputError(f"the span file {path} does not exist; check the path")
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"the span file {path} is not named .jsonl; give JSON lines, not compressed, with one document in each"
        )
    hashes, offsets, numbers, labels = [], [], [], set()
    digest = hashlib.sha256()
    with open_seekable(path) as file:
        for number, offset, line in _lines(file):
            digest.update(line)
            document = parse_line(f"{path}: line {number}", line)
            if document is not None:
                hashes.append(_hash_text(document.text))
                offsets.append(offset)
                numbers.append(number)
                labels.update(label for _, _, label in document.spans)
        if not labels:
            raise InputError(f"{path} has no span in it; annotate at least one, or mask without it")
        order = np.argsort(np.array(hashes, dtype=np.int64), kind="stable")
        sorted_hashes, places = np.array(hashes, dtype=np.int64)[order], np.array(offsets, dtype=np.int64)[order]
        _refuse_contradictions(file, str(path), sorted_hashes, places, [numbers[row] for row in order.tolist()])
    return SpanIndex(str(path), digest.hexdigest(), tuple(sorted(labels)), sorted_hashes, places)


def _refuse_contradictions(
    file: IO[bytes], path: str, hashes: np.ndarray, offsets: np.ndarray, numbers: Sequence[int]
) -> None:
    for row in np.flatnonzero(hashes[1:] == hashes[:-1]).tolist():
        one, other = (_read_at(file, path, int(offsets[place])) for place in (row, row + 1))
        assert one is not None and other is not None
        if sorted(one.spans) != sorted(other.spans):
            raise InputError(
                f"{path}: lines {numbers[row]} and {numbers[row + 1]} annotate the same text differently; "
                f"keep one of them: {shown(one.text)}"
            )


def _lines(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Return number, first byte and content of each line."""
    offset = 0
    for number, line in enumerate(file, 1):
        yield number, offset, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        offset += len(line)


def _read_at(file: IO[bytes], path: str, offset: int) -> Annotated | None:
    file.seek(offset)
    return parse_line(f"{path}: byte {offset}", file.readline().removeprefix(b"\xef\xbb\xbf"))


def _hash_text(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
