"""Rows: a block of a corpus becomes rows of token ids, units, types and annotations, in whichever process.

Long documents are cut into windows that a model can read, between words where possible; nothing of a text is left out.
An annotator adds to each unit values that its tokens do not show. All arrays hold the documents of a batch one after
the other, so that numpy works on thousands of documents at a time; offsets say where each begins.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from diffmask.files.blocks import Block
from diffmask.text.segment.segmenter import Segmenter, Segments
from diffmask.text.segment.type_table import TypeTable

if TYPE_CHECKING:
    import pyarrow

STARTS = "starts"
"""Column that joins words into larger units: 1 opens a unit, 0 continues the one before."""
_BATCH_CHARS = 1 << 18
"""Texts are segmented in batches of this many characters, whose arrays stay in the processor's cache."""


@dataclass(frozen=True)
class Annotator:
    """Gives each unit of segmented texts further values; it is sent to worker processes, so it must pickle.

    Attributes:
        columns: Names of the values, which become columns beside the tokens. In the column `starts`, 1 opens a larger
            unit, which is masked whole, and 0 continues it; none crosses the end of a text.
        names: Classes or labels, if the first column holds the rows of such; else empty.
        key: What the values depend on (names, versions, hashes of files): part of the cache's key.
        annotate: Function of a module, or a `partial` of one, that returns an int32 array (U,) for each column, with -1
            for units that have no value. It is not compared: annotators are equal if their keys are.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    key: str
    annotate: Callable[[Segments], dict[str, np.ndarray]] = field(compare=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the columns for the units of some texts."""
        values = self.annotate(segments)
        return {name: values[name] for name in self.columns}

    def only(self, columns: tuple[str, ...]) -> "Annotator":
        """Return the same annotator with some of its columns."""
        return replace(self, columns=columns, key=f"{self.key} {','.join(columns)}")


@dataclass(frozen=True, eq=False)
class _Windows:
    """Where the windows of many documents begin and end; int64 (R,) each, documents in order.

    Attributes:
        starts: First token, counted over all documents.
        stops: One after the last token.
        documents: Document of each window.
        numbers: Place among the windows of its document, from 0.
        num_cut_units: Units that were cut because they are longer than a window.
    """

    starts: np.ndarray
    stops: np.ndarray
    documents: np.ndarray
    numbers: np.ndarray
    num_cut_units: int


def _cut_windows(units: np.ndarray, num_tokens: np.ndarray, size: int, overlap: int = 0) -> _Windows:
    """Cut documents into windows of at most `size` tokens, which begin and end between units where possible.

    Args:
        units: Unit of each token of all documents, rising; -1 = none.
        num_tokens: Tokens of each document, int64 (N,).
        size: Most tokens in a window.
        overlap: Most tokens that a window repeats of the end of the one before, as whole units; below `size`.
    """
    assert 0 <= overlap < size
    stops = np.cumsum(num_tokens)
    starts = stops - num_tokens
    # a window may begin where a unit does, and between tokens that are in no unit
    cuts = np.ones(len(units) + 1, dtype=bool)
    cuts[1:-1] = (units[1:] != units[:-1]) | (units[1:] < 0)
    num_cut_units = 0
    # most documents are short and become one window each, all at once; only long ones are gone through
    long = num_tokens > size
    short = np.flatnonzero(~long)
    pieces = [(starts[short], stops[short], short, np.zeros(len(short), dtype=np.int64))]
    for document in np.flatnonzero(long).tolist():
        first, last = int(starts[document]), int(stops[document])
        spans, num_cut = _cut_document(np.flatnonzero(cuts[first : last + 1]), last - first, size, overlap)
        num_cut_units += num_cut
        pieces.append((first + spans[:, 0], first + spans[:, 1], np.full(len(spans), document), np.arange(len(spans))))
    starts, stops, documents, numbers = (np.concatenate(part) for part in zip(*pieces, strict=True))
    order = np.argsort(documents, kind="stable")
    return _Windows(starts[order], stops[order], documents[order], numbers[order], num_cut_units)


def _cut_document(places: np.ndarray, num_tokens: int, size: int, overlap: int) -> tuple[np.ndarray, int]:
    """Return first and last token (exclusive) of each window, and how many units had to be cut.

    Args:
        places: Tokens of the document before which a window may begin, rising; the end is one of them.
        num_tokens: Length of the document.
        size: Most tokens in a window.
        overlap: Most tokens that a window repeats.
    """
    spans: list[tuple[int, int]] = []
    start, done, num_cut, inside = 0, 0, 0, False
    while done < num_tokens:
        stop = min(start + size, num_tokens)
        if stop < num_tokens:
            between = int(places[places.searchsorted(stop, side="right") - 1])
            if between <= done and start < done:
                # the next unit is so long that it fits only if nothing is repeated before it
                start = done
                continue
            # a unit longer than a window is cut, and counted once, however many windows it takes
            num_cut += between <= done and not inside
            inside = between <= done
            stop = stop if inside else between
        spans.append((start, stop))
        done = stop
        start = min(done, int(places[places.searchsorted(done - overlap)]))
    return np.array(spans, dtype=np.int64), num_cut


@dataclass(frozen=True)
class Report:
    """What became of a corpus when it was tokenised. Reports of two parts add up."""

    num_documents: int = 0
    num_rows: int = 0
    num_tokens: int = 0
    """Tokens of the text; special tokens, and what windows repeat, are not counted."""
    num_units: int = 0
    num_unknown_tokens: int = 0
    """Tokens of the text that are never masked: unknown and special ones."""
    num_split_documents: int = 0
    """Documents that became several windows."""
    num_cut_units: int = 0
    """Words longer than a window."""
    num_dropped_windows: int = 0
    """Windows (or whole documents) without anything to mask; they make no row."""
    num_collapsed_documents: int = 0
    """Documents whose tokens did not fall into words."""
    read: str = ""
    """Columns that the documents stand in, and rows without text; empty for plain text, and before all is read."""

    def __add__(self, other: "Report") -> "Report":
        """Return the report of both parts."""
        return Report(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __str__(self) -> str:
        """Return the report in one line."""
        line = (
            f"{self.num_documents:,} documents, {self.num_tokens:,} tokens in {self.num_units:,} units, "
            f"{self.num_rows:,} rows"
        )
        notes = {
            "documents split into windows": self.num_split_documents,
            "words longer than a window cut": self.num_cut_units,
            "windows without a known token left out": self.num_dropped_windows,
            "unknown or special tokens in the text, never masked": self.num_unknown_tokens,
        }
        told = [f"{number:,} {note}" for note, number in notes.items() if number]
        return "; ".join([line, *told, *filter(None, [self.read])])


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a dataset, and where they come from.

    Attributes:
        batch: input_ids, unit_ids, types (lists of int32), num_units (int32), and what annotators add (lists of int32,
            one number a unit).
        documents: Number of each row's document in its source, int64 (R,).
        windows: Number of each row's window in its document, int64 (R,).
        report: What became of the documents.
    """

    batch: "pyarrow.RecordBatch"
    documents: np.ndarray
    windows: np.ndarray
    report: Report


@dataclass(frozen=True, eq=False)
class RowMaker:
    """Make the rows of a block.

    Attributes:
        segmenter: Cuts texts into tokens and units.
        max_length: Most tokens of a row, special tokens included.
        overlap: Tokens that a window repeats of the one before.
        table: The types.
        annotators: Give units further values.
    """

    segmenter: Segmenter
    max_length: int
    overlap: int
    table: TypeTable
    annotators: tuple[Annotator, ...] = ()

    def __call__(self, block: Block) -> _Rows:
        """Return the rows of a block's documents, in their order."""
        import pyarrow

        parts = [self._rows(numbers, texts) for numbers, texts in _batches(block)]
        batch = pyarrow.Table.from_batches([part.batch for part in parts], schema=self.schema).combine_chunks()
        return _Rows(
            batch.to_batches()[0] if len(batch) else pyarrow.RecordBatch.from_pylist([], self.schema),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.documents for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.windows for part in parts)]),
            sum((part.report for part in parts), Report()),
        )

    @property
    def schema(self) -> "pyarrow.Schema":
        """The columns of `_Rows.batch`."""
        import pyarrow

        numbers = pyarrow.list_(pyarrow.int32())
        columns = [("input_ids", numbers), ("unit_ids", numbers), ("types", numbers), ("num_units", pyarrow.int32())]
        columns += [(name, numbers) for annotator in self.annotators for name in annotator.columns]
        return pyarrow.schema(columns)

    def _rows(self, numbers: Sequence[int], texts: Sequence[str]) -> _Rows:
        segments = self.segmenter(texts)
        num_tokens = segments.num_tokens
        size = self.max_length - self.segmenter.special_tokens.num_tokens
        windows = _cut_windows(segments.units, num_tokens, size, self.overlap)
        first_units, num_units = _unit_ranges(segments.units, windows)
        kept = num_units > 0
        report = Report(
            num_documents=len(texts),
            num_rows=int(kept.sum()),
            num_tokens=len(segments.units),
            num_units=len(segments.words),
            num_unknown_tokens=int((segments.units < 0).sum()),
            num_split_documents=int((np.bincount(windows.documents, minlength=len(texts)) > 1).sum()),
            num_cut_units=windows.num_cut_units,
            num_dropped_windows=int((~kept).sum()),
            num_collapsed_documents=int(segments.collapsed().sum()) if self.segmenter.units == "word" else 0,
        )
        batch = self._batch(segments, windows.starts[kept], windows.stops[kept], first_units[kept], num_units[kept])
        return _Rows(batch, np.array(numbers)[windows.documents[kept]], windows.numbers[kept], report)

    def _batch(
        self, segments: Segments, starts: np.ndarray, stops: np.ndarray, first_units: np.ndarray, num_units: np.ndarray
    ) -> "pyarrow.RecordBatch":
        import pyarrow

        before, after = self.segmenter.special_tokens
        lengths = stops - starts + len(before) + len(after)
        # all rows are written into one array: where each token of the text goes, and the special tokens around it
        row_stops = np.cumsum(lengths)
        tokens = _ranges(starts, stops)
        places = _ranges(row_stops - lengths + len(before), row_stops - len(after))
        input_ids = np.empty(lengths.sum(), dtype=np.int32)
        unit_ids = np.full(len(input_ids), -1, dtype=np.int32)
        for place, token in enumerate(before):
            input_ids[row_stops - lengths + place] = token
        for place, token in enumerate(after):
            input_ids[row_stops - len(after) + place] = token
        input_ids[places] = segments.input_ids[tokens]
        units = segments.units[tokens]
        unit_ids[places] = np.where(units < 0, -1, units - np.repeat(first_units, stops - starts))
        # a row has its own units, also those that it shares with the row before; they are counted from 0
        types = (
            segments.types(self.table.row_of, self.table.says)
            if self.table
            else np.full(len(segments.words), -1, dtype=np.int32)
        )
        held = _ranges(first_units, first_units + num_units)
        columns = [lists_of(input_ids, lengths), lists_of(unit_ids, lengths), lists_of(types[held], num_units)]
        columns.append(pyarrow.array(num_units.astype(np.int32)))
        for annotator in self.annotators:
            values = annotator(segments)
            columns += [lists_of(values[name].astype(np.int32)[held], num_units) for name in annotator.columns]
        return pyarrow.RecordBatch.from_arrays(columns, schema=self.schema)


def _batches(block: Block) -> Iterator[tuple[list[int], list[str]]]:
    numbers: list[int] = []
    texts: list[str] = []
    num_chars = 0
    for number, text in block.texts():
        numbers.append(number)
        texts.append(text)
        num_chars += len(text)
        if num_chars >= _BATCH_CHARS:
            yield numbers, texts
            numbers, texts, num_chars = [], [], 0
    if texts:
        yield numbers, texts


def _unit_ranges(units: np.ndarray, windows: _Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return the first unit of each window, and how many units it has a part of."""
    members = np.flatnonzero(units >= 0)
    first = members.searchsorted(windows.starts)
    last = members.searchsorted(windows.stops) - 1
    some = first <= last
    # the 0 at the end is what windows without a unit read
    first_units = np.append(units[members], 0)[np.where(some, first, -1)]
    last_units = np.append(units[members], 0)[np.where(some, last, -1)]
    return first_units, np.where(some, last_units - first_units + 1, 0)


def _ranges(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the numbers of all ranges, one after the other: a loop of `arange` without the loop.

    >>> _ranges(np.array([3, 9]), np.array([5, 12])).tolist()
    [3, 4, 9, 10, 11]
    """
    lengths = stops - starts
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def lists_of(values: np.ndarray, lengths: np.ndarray) -> "pyarrow.ListArray":
    """Return values as lists of the given lengths, one after the other."""
    import pyarrow

    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets), pyarrow.array(values))
