"""Counts of n-grams: a map-reduce on disk, so that memory does not grow with the corpus; mergeable, kept in Parquet.

count_ngrams(["papers/"], settings=NGramSettings(num_processes=2), save_to="papers.parquet")
count_ngrams(counts_files=["papers.parquet", "more.parquet"])  # the same as counting both corpora together

Counting n-grams on disk: each piece of a corpus becomes a file of parts, and then each part is added up.

An n-gram is always in the same part, whatever piece it is from, so a part can be added up alone: what is in memory at a
time is one piece, or one part.

A file of counts of n-grams: Parquet, columns ngram and count, with how they were counted in its metadata.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.blocks import Block
from diffmask.files.folders import draft
from diffmask.files.parallel import map_ordered
from diffmask.files.streams import split_suffix
from diffmask.text.corpus.counts import check_output, read_all_blocks
from diffmask.text.corpus.documents import Sources, check_column, describe_sources, list_files, refuse_without_text
from diffmask.text.ngrams.ngrams import MAX_N, check_max_n, count_texts, num_words
from diffmask.version import __version__

if TYPE_CHECKING:
    import pyarrow


class _CountedPiece(NamedTuple):
    """A row group of a file of counts."""

    path: str
    row_group: int


@dataclass(frozen=True)
class _Spill:
    """Count one piece and write it to a file of its own, with one record batch for each part.

    Attributes:
        folder: Where the files are.
        max_n: Words of the longest n-gram.
        num_parts: Parts that the n-grams are divided into, by a hash.
    """

    folder: str
    max_n: int
    num_parts: int

    def __call__(self, item: tuple[int, Block | _CountedPiece]) -> tuple[int, np.ndarray]:
        """Return the number of texts, and of occurrences of n-grams of 1, 2, ... words."""
        import pyarrow

        index, piece = item
        table, num_texts = _count_block(piece, self.max_n) if isinstance(piece, Block) else _read_piece(piece)
        lengths = num_words(table["ngram"])
        if isinstance(piece, _CountedPiece):
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
        folder: Where `_Spill` wrote.
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
    texts = [text.text for text in block.texts()]
    return count_texts(texts, max_n), len(texts)


def _read_piece(piece: _CountedPiece) -> tuple["pyarrow.Table", int]:
    from pyarrow import parquet

    return parquet.ParquetFile(piece.path).read_row_group(piece.row_group, use_threads=False), 0


_METADATA_KEY = b"diffmask.ngrams"


@contextmanager
def _open_counts(path: Path | None, record: dict[str, Any]) -> Iterator[Callable[["pyarrow.Table"], None]]:
    """Give a function that writes a table to a counts file, which is there when all is written; no path, no file."""
    import pyarrow
    from pyarrow import parquet

    if path is None:
        yield lambda table: None
        return
    schema = pyarrow.schema(
        [("ngram", pyarrow.string()), ("count", pyarrow.int64())], metadata={_METADATA_KEY: json.dumps(record)}
    )
    with (
        draft(path) as new,
        parquet.ParquetWriter(new, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        yield lambda table: writer.write_table(table.replace_schema_metadata(schema.metadata))


def _read_record(path: Path, max_n: int) -> dict[str, Any]:
    """Return what a file of counts says about itself: max_n, num_documents, totals, sources.

    Raises:
        InputError: It is no file of counts, or its n-grams are shorter than `max_n` words.
    """
    import pyarrow
    from pyarrow import parquet

    make = f"make one with: diffmask pmi DATA -o FOLDER --save-counts {path}"
    if not path.is_file():
        raise InputError(f"{path} does not exist; {make}")
    try:
        metadata = parquet.read_schema(path).metadata or {}
    except pyarrow.ArrowInvalid:
        metadata = {}
    if _METADATA_KEY not in metadata:
        raise InputError(f"{path} is not a file of n-gram counts; {make}")
    record = json.loads(metadata[_METADATA_KEY])
    if record["max_n"] < max_n:
        longest = record["max_n"]
        raise InputError(f"{path} holds n-grams of up to {longest} words, not {max_n}; give --max-n {longest}")
    return record


_BLOCK_BYTES = 1 << 20
_PART_BYTES = 1 << 24
"""Bytes of n-grams that a part should hold."""
_MAX_PARTS = 1 << 12
_GROWTH = 15
"""The n-grams of 1 to 5 words of a text are so many times as long as the text."""
_COMPRESSION = 4
"""Compressed files are taken for so many times as long."""
_Pieces = Iterator[tuple[int, Block | _CountedPiece]]


@dataclass(frozen=True)
class NGramSettings:
    """How n-grams are counted.

    Attributes:
        max_n: Words of the longest n-gram, 2 to 5.
        min_count: Rarer n-grams are left out of what is returned, not of what is saved. More than 10 occurrences is
            the constant of Levine et al. 2021, section 3.3.
        column: Name of the text column; None finds it.
        num_processes: 1 counts in this process. More are started afresh (spawned), so a script that asks for them
            keeps its work under `if __name__ == "__main__":`.

    Raises:
        InputError: A number is out of range.
    """

    max_n: int = MAX_N
    min_count: int = 11
    column: str | None = None
    num_processes: int = 1

    def __post_init__(self) -> None:
        """Check the values."""
        check_max_n(self.max_n)
        if self.min_count < 1:
            raise InputError(f"min-count {self.min_count} is below 1; 1 keeps every n-gram, 11 is the paper's")
        if self.num_processes < 1:
            raise InputError(f"num-processes {self.num_processes} is below 1; 1 counts without other processes")


@dataclass(frozen=True, eq=False)
class NGramCounts:
    """How often each n-gram occurs.

    Attributes:
        table: Columns ngram and count, of those with the minimum count, single words among them; in no order.
        totals: Occurrences of all n-grams of 1, 2, ... words, the rare ones too.
        num_types: Different n-grams of 1, 2, ... words, the rare ones too.
        num_documents: Texts that were counted.
        min_count: Least count in the table.
        sources: Path, bytes and sha256 of every file that was counted.
    """

    table: "pyarrow.Table"
    totals: tuple[int, ...]
    num_types: tuple[int, ...]
    num_documents: int
    min_count: int
    sources: list[dict[str, Any]]


def count_ngrams(
    sources: Sources = (),
    counts_files: Sequence[str | Path] = (),
    settings: NGramSettings | None = None,
    *,
    save_to: str | Path | None = None,
    overwrite: bool = False,
    scratch: str | Path | None = None,
) -> NGramCounts:
    """Count the n-grams of a corpus, add counts made before, and return those that occur often enough.

    Args:
        sources: Files, folders, globs, datasets on disk: see `corpus.list_files`.
        counts_files: Files that were written with `save_to`.
        save_to: Parquet file for the counts of all n-grams.
        overwrite: Whether that file may exist.
        scratch: Folder for temporary files, which need about seven times the room of the text; None takes the folder of
            `save_to`, or the system's.

    Raises:
        InputError: A source cannot be read or is counted twice, or a file of counts is none or has shorter n-grams.
    """
    settings = settings or NGramSettings()
    files = list_files(sources) if sources or not counts_files else []
    check_column(files, settings.column)
    if save_to is not None:
        save_to = check_output(save_to, overwrite=overwrite)
        scratch = scratch or save_to.parent
    records = [_read_record(Path(path), settings.max_n) for path in counts_files]
    described = describe_sources(files) if files else []
    sizes = {source["path"]: source["bytes"] for source in described}
    described = _join([*(record["sources"] for record in records), described])
    with tempfile.TemporaryDirectory(prefix=".diffmask-ngrams-", dir=scratch) as folder:
        spill = _Spill(folder, settings.max_n, _num_parts(sizes, counts_files))
        totals, num_documents = _spill_all(spill, sizes, counts_files, settings)
        num_documents += sum(record["num_documents"] for record in records)
        about = {"version": __version__, "max_n": settings.max_n, "num_documents": num_documents}
        add_up = AddUp(folder, settings.max_n, settings.min_count if save_to is None else 1)
        with _open_counts(save_to, about | {"totals": totals, "sources": described}) as write:
            table, num_types = _add_up_all(add_up, spill.num_parts, settings, write)
    return NGramCounts(table, tuple(totals), tuple(num_types), num_documents, settings.min_count, described)


def _num_parts(sizes: dict[str, int], counts_files: Sequence[str | Path]) -> int:
    lengths = [size * (_COMPRESSION if split_suffix(Path(path))[1] else 1) * _GROWTH for path, size in sizes.items()]
    lengths += [Path(path).stat().st_size * _COMPRESSION for path in counts_files]
    return min(1 + sum(lengths) // _PART_BYTES, _MAX_PARTS)


def _spill_all(
    spill: _Spill, sizes: dict[str, int], counts_files: Sequence[str | Path], settings: NGramSettings
) -> tuple[list[int], int]:
    """Write all pieces; return the occurrences of n-grams of 1, 2, ... words and the number of documents."""
    from tqdm import tqdm

    totals = np.zeros(spill.max_n, dtype=np.int64)
    num_documents = dict.fromkeys(sizes, 0)
    num_bytes = sum(sizes.values()) + sum(Path(path).stat().st_size for path in counts_files)
    with tqdm(total=num_bytes, desc="counting", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        pieces = _pieces(sizes, counts_files, settings.column, bar.update)
        # closed before the folder goes away: the processes write to it
        with closing(map_ordered(spill, pieces, settings.num_processes)) as results:
            for (_, piece), (num_texts, part_totals) in results:
                totals += part_totals
                if isinstance(piece, Block):
                    num_documents[piece.path] += num_texts
    for path, num_texts in num_documents.items():
        if num_texts == 0:
            refuse_without_text(path)
    return totals.tolist(), sum(num_documents.values())


def _pieces(
    sizes: dict[str, int], counts_files: Sequence[str | Path], column: str | None, advance: Callable
) -> _Pieces:
    from pyarrow import parquet

    index = 0
    for index, block in enumerate(read_all_blocks(sizes, column, _BLOCK_BYTES, advance), 1):
        yield index, block
    for path in map(Path, counts_files):
        num_groups = parquet.ParquetFile(path).num_row_groups
        for group in range(num_groups):
            index += 1
            yield index, _CountedPiece(str(path), group)
            advance(path.stat().st_size / num_groups)


def _add_up_all(
    add_up: AddUp, num_parts: int, settings: NGramSettings, write: Callable[["pyarrow.Table"], None]
) -> tuple["pyarrow.Table", list[int]]:
    """Return the n-grams with the minimum count, and the number of different n-grams; all n-grams are written."""
    import pyarrow
    from tqdm import tqdm

    kept: list[pyarrow.Table] = []
    num_types = np.zeros(add_up.max_n, dtype=np.int64)
    with (
        tqdm(total=num_parts, desc="adding up", unit="part", disable=None, leave=False) as bar,
        closing(map_ordered(add_up, range(num_parts), min(settings.num_processes, num_parts))) as results,
    ):
        for _, (table, part_types) in results:
            write(table)
            kept.append(table.filter(pyarrow.array(table["count"].to_numpy() >= settings.min_count)))
            num_types += part_types
            bar.update()
    return pyarrow.concat_tables(kept).combine_chunks(), num_types.tolist()


def _join(parts: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the sources of all parts, none of which may be in two."""
    joined: list[dict[str, Any]] = []
    for part in parts:
        known = {source["sha256"]: source["path"] for source in joined}
        twice = next((source for source in part if source["sha256"] in known), None)
        if twice is not None:
            same = f"{known[twice['sha256']]} and {twice['path']} have the same content"
            raise InputError(f"the counts to add up overlap: {same}; count each file once")
        joined += part
    return joined
