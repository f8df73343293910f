"""Rows: blocks of a corpus become rows of token ids, units and types, in whichever process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from diffmask.files.blocks import Block
from diffmask.files.lines import parse_block
from diffmask.text.segment.annotate import Annotator
from diffmask.text.segment.segmenter import Segmenter, Segments
from diffmask.text.segment.windows import SpecialTokens, Windows, cut_windows

if TYPE_CHECKING:
    import pyarrow

BATCH_CHARS = 1 << 18
"""Texts are segmented so many characters at a time: what is worked on stays in the cache."""


@dataclass(frozen=True)
class Report:
    """What became of a corpus. Reports of two parts add up."""

    num_documents: int = 0
    num_rows: int = 0
    num_tokens: int = 0
    """Of the text; special tokens and repeated ones are not counted."""
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

    def __add__(self, other: "Report") -> "Report":
        """Return the report of both parts."""
        return Report(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

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
        return "; ".join([line, *(f"{number:,} {note}" for note, number in notes.items() if number)])


@dataclass(frozen=True, eq=False)
class Rows:
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
        special_tokens: What stands around every row.
        max_length: Most tokens of a row, special tokens included.
        overlap: Tokens that a window repeats of the one before.
        type_rows: Row of each type in the table of types.
        annotators: Give units further values.
    """

    segmenter: Segmenter
    special_tokens: SpecialTokens
    max_length: int
    overlap: int
    type_rows: dict[str, int]
    annotators: tuple[Annotator, ...] = ()

    def __call__(self, block: Block) -> Rows:
        """Return the rows of a block's documents, in their order."""
        import pyarrow

        parts = [self._rows(numbers, texts) for numbers, texts in _batches(block)]
        schema = row_schema(self.annotators)
        batch = pyarrow.Table.from_batches([part.batch for part in parts], schema=schema).combine_chunks()
        return Rows(
            batch.to_batches()[0] if len(batch) else pyarrow.RecordBatch.from_pylist([], schema),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.documents for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.windows for part in parts)]),
            sum((part.report for part in parts), Report()),
        )

    def _rows(self, numbers: Sequence[int], texts: Sequence[str]) -> Rows:
        segments = self.segmenter(texts)
        num_tokens = segments.num_tokens
        windows = cut_windows(segments.units, num_tokens, self.max_length - len(self.special_tokens), self.overlap)
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
        return Rows(batch, np.array(numbers)[windows.documents[kept]], windows.numbers[kept], report)

    def _batch(
        self, segments: Segments, starts: np.ndarray, stops: np.ndarray, first_units: np.ndarray, num_units: np.ndarray
    ) -> "pyarrow.RecordBatch":
        import pyarrow

        before, after = self.special_tokens.before, self.special_tokens.after
        lengths = stops - starts + len(self.special_tokens)
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
        types = segments.types(self.type_rows) if self.type_rows else np.full(len(segments.words), -1, dtype=np.int32)
        held = _ranges(first_units, first_units + num_units)
        columns = [lists_of(input_ids, lengths), lists_of(unit_ids, lengths), lists_of(types[held], num_units)]
        columns.append(pyarrow.array(num_units.astype(np.int32)))
        for annotator in self.annotators:
            values = annotator(segments)
            columns += [lists_of(values[name].astype(np.int32)[held], num_units) for name in annotator.columns]
        return pyarrow.RecordBatch.from_arrays(columns, schema=row_schema(self.annotators))


def row_schema(annotators: Sequence[Annotator] = ()) -> "pyarrow.Schema":
    """Return the columns of `Rows.batch`."""
    import pyarrow

    numbers = pyarrow.list_(pyarrow.int32())
    columns = [("input_ids", numbers), ("unit_ids", numbers), ("types", numbers), ("num_units", pyarrow.int32())]
    columns += [(name, numbers) for annotator in annotators for name in annotator.columns]
    return pyarrow.schema(columns)


def _batches(block: Block) -> Iterator[tuple[list[int], list[str]]]:
    numbers: list[int] = []
    texts: list[str] = []
    num_chars = 0
    for number, text in parse_block(block):
        numbers.append(number)
        texts.append(text)
        num_chars += len(text)
        if num_chars >= BATCH_CHARS:
            yield numbers, texts
            numbers, texts, num_chars = [], [], 0
    if texts:
        yield numbers, texts


def _unit_ranges(units: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return the first unit of each window, and how many units it has a part of."""
    members = np.flatnonzero(units >= 0)
    first = members.searchsorted(windows.starts)
    last = members.searchsorted(windows.stops) - 1
    some = first <= last
    first_units = np.append(units[members], 0)[np.where(some, first, -1)]
    last_units = np.append(units[members], 0)[np.where(some, last, -1)]
    return first_units, np.where(some, last_units - first_units + 1, 0)


def _ranges(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the numbers of all ranges, one after the other.

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
