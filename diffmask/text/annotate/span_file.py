"""Labelled spans, stretches of text that carry a label, and files of them made by hand or by another tool.

A span file stays on the disk, 16 bytes for each of its documents are kept, and a document is found again by its text.
A line is one annotated document, in the spelling of any of the common annotation tools:

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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.blocks import shown
from diffmask.files.streams import open_seekable
from diffmask.text.segment.rows import STARTS, Annotator
from diffmask.text.segment.segmenter import Segments

CLASSES = "classes"
"""Column of classes: the row of each unit's class in the annotator's names, -1 = none."""
SALIENT = "salient"
"""Column of salient spans: the row of the label of the span that the unit is in, -1 = in none."""
SUFFIXES = (".jsonl", ".json")
"""Names of span files end so."""

_TEXT_KEYS = ("text", "data")
_SPAN_KEYS = ("spans", "entities", "label", "labels")
_START_KEYS, _END_KEYS, _LABEL_KEYS = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels")
_EXAMPLE = '{"text": "Rats slept.", "spans": [{"start": 0, "end": 4, "label": "NOUN"}]}'


class LabelledSpans(NamedTuple):
    """Spans that do not overlap, in order."""

    starts: np.ndarray
    """First character of each, int64 (S,)."""
    stops: np.ndarray
    """One after the last character, int64 (S,)."""
    labels: np.ndarray
    """Row of its label, int32 (S,)."""

    @classmethod
    def longest(cls, spans: Iterable[tuple[int, int, int]]) -> "LabelledSpans":
        """Keep the longest of spans that overlap; of equally long ones the first, and of equal ones the smaller label.

        >>> LabelledSpans.longest([(4, 9, 0), (0, 5, 1), (5, 6, 2), (9, 12, 3)]).starts.tolist()
        [0, 5, 9]
        >>> LabelledSpans.longest([(4, 9, 0), (0, 4, 1), (3, 6, 2)]).starts.tolist()
        [0, 4]

        Args:
            spans: First character, one after the last, and row of the label of each.
        """
        rows = np.array(sorted(set(spans)), dtype=np.int64).reshape(-1, 3)
        starts, stops = rows[:, 0], rows[:, 1]
        if (starts[1:] < stops[:-1]).any():
            rows = rows[_chosen(starts, stops)]
        return cls(rows[:, 0], rows[:, 1], rows[:, 2].astype(np.int32))

    def classes(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the label of the span in which the first character of each unit's word lies, as its class."""
        return {CLASSES: self._labels(self._covering(segments))[segments.words]}

    def salient_units(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the label of the span that each unit is in, and where the larger units open that are one span each.

        A word is in a span if its first character is, and so are hyphens and punctuation between its words. What is in
        no span stays a unit of its own.
        """
        of_word = self._covering(segments)
        of_unit = of_word[segments.words]
        first_chars = segments.surface_spans[:, 0][segments.words]
        rows = np.searchsorted(segments.text_starts, first_chars, side="right")
        opens = np.ones(len(of_unit), dtype=np.int32)
        opens[1:] = (of_unit[1:] < 0) | (of_unit[1:] != of_unit[:-1]) | (rows[1:] != rows[:-1])
        return {SALIENT: self._labels(of_word)[segments.words], STARTS: opens}

    def _covering(self, segments: Segments) -> np.ndarray:
        """Return the span that the first character of each word lies in, int64 (W,); -1 = none."""
        if not len(self.starts):
            return np.full(len(segments.spans), -1)
        places = segments.surface_spans[:, 0]
        before = self.starts.searchsorted(places, side="right") - 1
        return np.where((before >= 0) & (places < self.stops[before]), before, -1)

    def _labels(self, rows: np.ndarray) -> np.ndarray:
        """Return the label of each span of `_covering`, int32; -1 = none."""
        return np.append(self.labels, np.int32(-1))[rows].astype(np.int32)


def _chosen(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the rows of the spans that are kept.

    Spans that overlap in a chain are decided together, the longest first; most spans touch no other and are kept at
    once, so that the loop is short.
    """
    furthest = np.maximum.accumulate(stops)
    chain = np.cumsum(np.append(True, starts[1:] >= furthest[:-1]))
    alone = np.bincount(chain)[chain] == 1
    kept = np.flatnonzero(alone).tolist()
    crowded = np.flatnonzero(~alone)
    taken: dict[int, list[tuple[int, int]]] = {}
    for row in crowded[np.lexsort((crowded, starts[crowded] - stops[crowded]))].tolist():
        start, stop = int(starts[row]), int(stops[row])
        others = taken.setdefault(int(chain[row]), [])
        if all(stop <= first or last <= start for first, last in others):
            others.append((start, stop))
            kept.append(row)
    return np.sort(np.array(kept, dtype=np.int64))


class _Annotated(NamedTuple):
    """A text without white space around it, and its spans."""

    text: str
    spans: list[tuple[int, int, str]]


def _parse_line(where: str, line: bytes) -> _Annotated | None:
    """Return the document of a line; None for a blank one, and for one that was not accepted in Prodigy.

    Args:
        where: File and line, for messages.
        line: Its bytes.
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
        raise InputError(f"{where} is not an annotated document; write one object per line, such as {_EXAMPLE}")
    if row.get("answer", "accept") != "accept":
        return None
    text = next((row[key] for key in _TEXT_KEYS if isinstance(row.get(key), str)), None)
    if text is None:
        raise InputError(f"{where} has no text; write one object per line, such as {_EXAMPLE}")
    lists = {key: row[key] for key in _SPAN_KEYS if isinstance(row.get(key), list)}
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
    keys = (_START_KEYS, _END_KEYS, _LABEL_KEYS)
    start, stop, label = (next((entry[key] for key in names if key in entry), None) for names in keys)
    return start, stop, label


def _stripped(text: str, spans: list[tuple[int, int, str]]) -> _Annotated:
    """Leave out white space around a text, as the readers of a corpus do."""
    shift = len(text) - len(text.lstrip())
    text = text.strip()
    moved = [(max(start - shift, 0), min(stop - shift, len(text)), label) for start, stop, label in spans]
    return _Annotated(text, [span for span in moved if span[0] < span[1]])


@dataclass(frozen=True, eq=False)
class _SpanIndex:
    """Where each document of a span file stands.

    Attributes:
        path: The file.
        names: Labels of the file, sorted.
        hashes: Hash of each document's text, rising; int64 (N,).
        offsets: First byte of each document's line, int64 (N,).
    """

    path: str
    names: tuple[str, ...]
    hashes: np.ndarray
    offsets: np.ndarray

    def classes(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the class of each unit; -1 outside of all spans."""
        return self._spans(segments).classes(segments)

    def salient_units(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the label of each unit's span, and where spans begin."""
        return self._spans(segments).salient_units(segments)

    def _spans(self, segments: Segments) -> LabelledSpans:
        """Return the spans of all texts; a text with a word in it that is not in the file is refused."""
        row_of = {name: row for row, name in enumerate(self.names)}
        found: list[tuple[int, int, int]] = []
        with Path(self.path).open("rb") as file:
            for text, first in zip(segments.texts, segments.text_starts.tolist(), strict=False):
                if text.strip():
                    shift = first + len(text) - len(text.lstrip())
                    spans = self._document(file, text.strip()).spans
                    found += [(start + shift, stop + shift, row_of[label]) for start, stop, label in spans]
        return LabelledSpans.longest(found)

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


def read_span_file(path: str | Path, column: str) -> Annotator:
    """Read a span file once, check every line of it, and keep where its documents stand.

    Args:
        path: The file.
        column: `classes` makes classes of its labels, `salient` makes salient spans of its spans.

    Raises:
        InputError: If it is not such a file, or annotates a text twice and differently; the message names the line.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise InputError(f"the span file {path} does not exist; check the path")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"the span file {path} is not named .jsonl; give JSON lines, not compressed, with one document in each"
        )
    hashes, offsets, numbers, labels = [], [], [], set()
    digest = hashlib.sha256()
    with open_seekable(path) as file:
        for number, offset, line in _lines(file):
            digest.update(line)
            document = _parse_line(f"{path}: line {number}", line)
            if document is not None:
                hashes.append(_hash_text(document.text))
                offsets.append(offset)
                numbers.append(number)
                labels.update(label for _, _, label in document.spans)
        if not labels:
            raise InputError(f"{path} contains no spans; annotate at least one, or leave the file out")
        order = np.argsort(np.array(hashes, dtype=np.int64), kind="stable")
        sorted_hashes, places = np.array(hashes, dtype=np.int64)[order], np.array(offsets, dtype=np.int64)[order]
        _refuse_contradictions(file, str(path), sorted_hashes, places, [numbers[row] for row in order.tolist()])
    index, key = _SpanIndex(str(path), tuple(sorted(labels)), sorted_hashes, places), f"{column} {digest.hexdigest()}"
    if column == CLASSES:
        return Annotator((CLASSES,), index.names, key, index.classes)
    return Annotator((SALIENT, STARTS), index.names, key, index.salient_units)


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
    """Yield number, first byte and content of each line, without a byte order mark."""
    offset = 0
    for number, line in enumerate(file, 1):
        yield number, offset, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        offset += len(line)


def _read_at(file: IO[bytes], path: str, offset: int) -> _Annotated | None:
    file.seek(offset)
    return _parse_line(f"{path}: byte {offset}", file.readline().removeprefix(b"\xef\xbb\xbf"))


def _hash_text(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
