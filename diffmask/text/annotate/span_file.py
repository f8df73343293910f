"""A span file: labels of stretches of text, made by hand or by another tool, found again by the text itself.

    index = index_span_file("spans.jsonl")
    FileClasses(index)      # the label of the span that a word begins in, as its class
    FileSalient(index)      # the spans as salient spans

The file stays on the disk; 16 bytes for each of its documents are kept. `span_lines` says what its lines look like.

Labelled spans: stretches of text that carry a label, and the units that begin in them.

Lines of a span file: one annotated document each, in the spellings of the common annotation tools.

    {"text": "Rats slept.", "spans": [{"start": 0, "end": 4, "label": "NOUN"}]}      Prodigy, spaCy
    {"text": "Rats slept.", "spans": [[0, 4, "NOUN"]]}                                triples
    {"text": "Rats slept.", "label": [[0, 4, "NOUN"]]}                                doccano
    {"text": "Rats slept.", "entities": [{"start_offset": 0, "end_offset": 4, "label": "NOUN"}]}   doccano, relations
    ["Rats slept.", {"entities": [[0, 4, "NOUN"]]}]                                   spaCy's training examples

Offsets count characters (code points) from 0, and the end is not in the span.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.blocks import shown
from diffmask.files.streams import open_seekable
from diffmask.text.segment.rows import STARTS
from diffmask.text.segment.segmenter import Segments

CLASSES = "classes"
"""Column of classes: the row of each unit's class in the annotator's names, -1 = none."""
SALIENT = "salient"
"""Column of salient spans: the row of the label of the span that the unit is in, -1 = in none."""

Span = tuple[int, int, int]
"""First character, one after the last, and row of the label."""


class LabelledSpans(NamedTuple):
    """Spans that do not overlap, in order."""

    starts: np.ndarray
    """First character of each, int64 (S,)."""
    stops: np.ndarray
    """One after the last character, int64 (S,)."""
    labels: np.ndarray
    """Row of its label, int32 (S,)."""


def longest_first(spans: Iterable[Span]) -> LabelledSpans:
    """Keep the longest of spans that overlap; of equally long ones the first, and of equal ones the smaller label.

    >>> longest_first([(4, 9, 0), (0, 5, 1), (5, 6, 2), (9, 12, 3)]).starts.tolist()
    [0, 5, 9]
    >>> longest_first([(4, 9, 0), (0, 4, 1), (3, 6, 2)]).starts.tolist()
    [0, 4]
    """
    rows = np.array(sorted(set(spans)), dtype=np.int64).reshape(-1, 3)
    starts, stops = rows[:, 0], rows[:, 1]
    if (starts[1:] < stops[:-1]).any():
        rows = rows[_chosen(starts, stops)]
    return LabelledSpans(rows[:, 0], rows[:, 1], rows[:, 2].astype(np.int32))


def _chosen(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the rows of the spans that are kept; those apart from all others need no decision."""
    # groups of spans that overlap in a chain
    furthest = np.maximum.accumulate(stops)
    group = np.cumsum(np.append(True, starts[1:] >= furthest[:-1]))
    alone = np.bincount(group)[group] == 1
    kept = np.flatnonzero(alone).tolist()
    crowded = np.flatnonzero(~alone)
    taken: dict[int, list[tuple[int, int]]] = {}
    for row in crowded[np.lexsort((crowded, starts[crowded] - stops[crowded]))].tolist():
        start, stop = int(starts[row]), int(stops[row])
        others = taken.setdefault(int(group[row]), [])
        if all(stop <= first or last <= start for first, last in others):
            others.append((start, stop))
            kept.append(row)
    return np.sort(np.array(kept, dtype=np.int64))


def texts_of(segments: Segments) -> list[str]:
    """Return the texts that were segmented."""
    bounds = segments.text_starts.tolist()
    return [segments.text[start : stop - 1] for start, stop in zip(bounds, bounds[1:], strict=False)]


def span_classes(segments: Segments, spans: LabelledSpans) -> dict[str, np.ndarray]:
    """Return the label of the span in which the first character of each unit's word lies, as its class."""
    return {CLASSES: _labels(spans, _covering(segments, spans))[segments.words]}


def salient_units(segments: Segments, spans: LabelledSpans) -> dict[str, np.ndarray]:
    """Return the label of the span that each unit is in, and where the groups of units open that are one span.

    A word is in a span if its first character is, and so are hyphens and punctuation between its words. What is in no
    span is a group of its own.
    """
    of_word = _covering(segments, spans)
    of_unit = of_word[segments.words]
    first_chars = segments.surface_spans[:, 0][segments.words]
    rows = np.searchsorted(segments.text_starts, first_chars, side="right")
    opens = np.ones(len(of_unit), dtype=np.int32)
    opens[1:] = (of_unit[1:] < 0) | (of_unit[1:] != of_unit[:-1]) | (rows[1:] != rows[:-1])
    return {SALIENT: _labels(spans, of_word)[segments.words], STARTS: opens}


def _covering(segments: Segments, spans: LabelledSpans) -> np.ndarray:
    """Return the span that the first character of each word lies in, int64 (W,); -1 = none."""
    if not len(spans.starts):
        return np.full(len(segments.spans), -1)
    places = segments.surface_spans[:, 0]
    before = spans.starts.searchsorted(places, side="right") - 1
    return np.where((before >= 0) & (places < spans.stops[before]), before, -1)


def _labels(spans: LabelledSpans, rows: np.ndarray) -> np.ndarray:
    """Return the label of each span of `_covering`, int32; -1 = none."""
    return np.append(spans.labels, np.int32(-1))[rows].astype(np.int32)


TEXT_KEYS = ("text", "data")
SPAN_KEYS = ("spans", "entities", "label", "labels")
START_KEYS, END_KEYS, LABEL_KEYS = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels")
_EXAMPLE = '{"text": "Rats slept.", "spans": [{"start": 0, "end": 4, "label": "NOUN"}]}'


class _Annotated(NamedTuple):
    """A text without white space around it, and its spans."""

    text: str
    spans: list[tuple[int, int, str]]


def parse_line(where: str, line: bytes) -> _Annotated | None:
    """Return the document of a line; None for a blank one, and for one that Prodigy's user did not accept.

    Args:
        where: File and line, for messages.
        line: Its bytes.

    Raises:
        InputError: The line is not such an object, or a span is not in its text.
    """
    if not line.strip():
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "no valid JSON"
        seen = shown(line.decode("utf-8", "replace"))
        raise InputError(f"{where} is {reason}; write one object per line, such as {_EXAMPLE}: {seen}") from error
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict):
        row = {"text": row[0], **row[1]}
    if not isinstance(row, dict):
        raise InputError(f"{where} is no annotated document; write one object per line, such as {_EXAMPLE}")
    if row.get("answer", "accept") != "accept":
        return None
    text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)
    if text is None:
        raise InputError(f"{where} has no text; write one object per line, such as {_EXAMPLE}")
    lists = {key: row[key] for key in SPAN_KEYS if isinstance(row.get(key), list)}
    if len(lists) != 1:
        found = f"spans under {' and '.join(map(repr, lists))}" if lists else "no list of spans"
        raise InputError(f"{where} has {found}; write one object per line, such as {_EXAMPLE}")
    spans = [
        _span(f"{where}: span {number}", text, entry) for number, entry in enumerate(next(iter(lists.values())), 1)
    ]
    return _stripped(text, spans)


def _span(where: str, text: str, entry: Any) -> tuple[int, int, str]:
    start, stop, label = _parts(entry)
    # one name in a list is how Label Studio writes it
    label = label[0] if isinstance(label, list) and len(label) == 1 else label
    if type(start) is not int or type(stop) is not int or not isinstance(label, str) or not label:
        given = shown(json.dumps(entry, ensure_ascii=False))
        raise InputError(f'{where} is not a start, an end and a label, such as [0, 4, "NOUN"]: {given}')
    if not 0 <= start < stop <= len(text):
        raise InputError(
            f"{where} ({start} to {stop}, {label!r}) is not in its text of {len(text)} characters; offsets count "
            "characters, not bytes, from 0, and the end lies behind the span"
        )
    return start, stop, label


def _parts(entry: Any) -> tuple[Any, Any, Any]:
    if isinstance(entry, list) and len(entry) == 3:
        return entry[0], entry[1], entry[2]
    if not isinstance(entry, dict):
        return None, None, None
    keys = (START_KEYS, END_KEYS, LABEL_KEYS)
    start, stop, label = (next((entry[key] for key in names if key in entry), None) for names in keys)
    return start, stop, label


def _stripped(text: str, spans: list[tuple[int, int, str]]) -> _Annotated:
    """Leave out white space around a text, as the readers of a corpus do."""
    shift = len(text) - len(text.lstrip())
    text = text.strip()
    moved = [(max(start - shift, 0), min(stop - shift, len(text)), label) for start, stop, label in spans]
    return _Annotated(text, [span for span in moved if span[0] < span[1]])


FORMATS = (".jsonl", ".json")


@dataclass(frozen=True, eq=False)
class _SpanIndex:
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

    def _document(self, file: IO[bytes], text: str) -> _Annotated:
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

    index: _SpanIndex
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

    index: _SpanIndex
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


def index_span_file(path: str | Path) -> _SpanIndex:
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
    return _SpanIndex(str(path), digest.hexdigest(), tuple(sorted(labels)), sorted_hashes, places)


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


def _read_at(file: IO[bytes], path: str, offset: int) -> _Annotated | None:
    file.seek(offset)
    return parse_line(f"{path}: byte {offset}", file.readline().removeprefix(b"\xef\xbb\xbf"))


def _hash_text(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
