"""Counting n-grams on disk: each piece of a corpus becomes a file of parts, and then each part is added up.

An n-gram is always in the same part, whatever piece it is from, so a part can be added up alone: what is in memory at a
time is one piece, or one part.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np

from diffmask.files.blocks import Block
from diffmask.files.lines import parse_block
from diffmask.text.ngrams.ngrams import count_texts, num_words

if TYPE_CHECKING:
    import pyarrow


class CountedPiece(NamedTuple):
    """A row group of a file of counts."""

    path: str
    row_group: int


@dataclass(frozen=True)
class Spill:
    """Count one piece and write it to a file of its own, with one record batch for each part.

    Attributes:
        folder: Where the files are.
        max_n: Words of the longest n-gram.
        num_parts: Parts that the n-grams are divided into, by a hash.
    """

    folder: str
    max_n: int
    num_parts: int

    def __call__(self, item: tuple[int, Block | CountedPiece]) -> tuple[int, np.ndarray]:
        """Return the number of texts, and of occurrences of n-grams of 1, 2, ... words."""
        import pyarrow

        index, piece = item
        table, num_texts = _count_block(piece, self.max_n) if isinstance(piece, Block) else _read_piece(piece)
        lengths = num_words(table["ngram"])
        if isinstance(piece, CountedPiece):
            short = lengths <= self.max_n
            table, lengths = table.filter(pyarrow.array(short)), lengths[short]
        totals = np.bincount(lengths, table["count"].to_numpy(), self.max_n + 1)[1:].astype(np.int64)
        self._write(index, table)
        return num_texts, totals

    def _write(self, index: int, table: "pyarrow.Table") -> None:
        import pyarrow

        ngrams = table["ngram"].cast(pyarrow.binary()).to_pylist()
        # not Python's hash, which differs between processes
        parts = np.fromiter(map(crc32, ngrams), np.uint32, len(ngrams)) % self.num_parts
        columns = [column.combine_chunks() for column in table.take(pyarrow.array(np.argsort(parts))).columns]
        ends = np.cumsum(np.bincount(parts, minlength=self.num_parts)).tolist()
        path = os.path.join(self.folder, f"{index:09d}.arrow")
        options = pyarrow.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        with pyarrow.ipc.new_file(path, table.schema, options=options) as writer:
            for start, end in zip([0, *ends[:-1]], ends, strict=True):
                pieces = [column.slice(start, end - start) for column in columns]
                writer.write_batch(pyarrow.RecordBatch.from_arrays(pieces, schema=table.schema))


@dataclass(frozen=True)
class AddUp:
    """Add up one part over all files of a folder.

    Attributes:
        folder: Where `Spill` wrote.
        max_n: Words of the longest n-gram.
        min_count: Rarer n-grams are left out of the table.
    """

    folder: str
    max_n: int
    min_count: int

    def __call__(self, part: int) -> tuple["pyarrow.Table", np.ndarray]:
        """Return columns ngram and count, and the number of different n-grams of 1, 2, ... words, the rare ones too."""
        import pyarrow

        batches = []
        for name in sorted(os.listdir(self.folder)):
            with pyarrow.OSFile(os.path.join(self.folder, name)) as file:
                batches.append(pyarrow.ipc.open_file(file).get_batch(part))
        table = pyarrow.Table.from_batches(batches)
        table = table.group_by("ngram", use_threads=False).aggregate([("count", "sum")])
        table = table.rename_columns(["ngram", "count"])
        num_types = np.bincount(num_words(table["ngram"]), minlength=self.max_n + 1)[1:]
        return table.filter(pyarrow.array(table["count"].to_numpy() >= self.min_count)), num_types


def _count_block(block: Block, max_n: int) -> tuple["pyarrow.Table", int]:
    texts = [text.text for text in parse_block(block)]
    return count_texts(texts, max_n), len(texts)


def _read_piece(piece: CountedPiece) -> tuple["pyarrow.Table", int]:
    from pyarrow import parquet

    return parquet.ParquetFile(piece.path).read_row_group(piece.row_group, use_threads=False), 0
