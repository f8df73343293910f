"""Counts of n-grams: a map-reduce on disk, so that memory does not grow with the corpus; mergeable, kept in Parquet.

    count_ngrams(["papers/"], settings=NGramSettings(num_processes=2), save_to="papers.parquet")
    count_ngrams(counts_files=["papers.parquet", "more.parquet"])  # the same as counting both corpora together

Each piece of a corpus (a block, or a row group of counts made before) is counted and written to a file that is divided
into parts; then each part is added up over all files. An n-gram is in the same part of every file, so each part can be
added up alone: one piece, or one part, is in memory at a time.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from zlib import crc32

import numpy as np

from diffmask.config.limits import PROCESSES, Between, at_least, check_limits
from diffmask.core.errors import InputError
from diffmask.files.blocks import Block
from diffmask.files.folders import draft
from diffmask.files.made_folder import check_table, has_record, read_table
from diffmask.files.parallel import map_ordered
from diffmask.files.streams import split_suffix
from diffmask.text.corpus.counts import CountsRecord, check_counts
from diffmask.text.corpus.documents import (
    Reading,
    Sources,
    describe_sources,
    join_sources,
    list_files,
)
from diffmask.text.corpus.words import RULE, char_classes, types_of
from diffmask.text.ngrams.ngrams import MAX_N, JoinedWords
from diffmask.version import __version__

if TYPE_CHECKING:
    import pyarrow
    from tqdm import tqdm

_METADATA_KEY = b"diffmask.ngrams"
_BLOCK_BYTES = 1 << 20
_PART_BYTES = 1 << 24
"""Bytes of n-grams that a part should hold."""
_MAX_PARTS = 1 << 12
_GROWTH = 15
"""How many times as long as a text its n-grams of 1 to 5 words are."""
_COMPRESSION = 4
"""How many times as long as a compressed file its content is taken to be."""


class _Record(CountsRecord):
    """What a file of counts says of itself."""

    max_n: Annotated[int, Between(2, MAX_N)]
    totals: list[Annotated[int, at_least(0)]]


class _CountedPiece(NamedTuple):
    """A row group of a file of counts."""

    path: str
    row_group: int


_Piece = Block | _CountedPiece


def count_texts(texts: Sequence[str], max_n: int = MAX_N) -> "pyarrow.Table":
    """Return how often each n-gram of 1 to `max_n` words occurs: columns ngram and count, in no order.

    >>> count_texts(["in vitro, in vitro"], 2).sort_by("ngram").to_pydict()
    {'ngram': ['in', 'in vitro', 'vitro'], 'count': [2, 2, 2]}
    """
    import pyarrow
    from pyarrow import compute

    text = "\n".join(texts)
    text_starts = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]
    types, _, joined = JoinedWords.find(text, char_classes(text), text_starts)
    words = pyarrow.array(types, pyarrow.string())
    # n-grams of n + 1 words are those of n words whose last word is followed by one that continues them
    ngrams, lasts = words, np.arange(len(types))
    chunks = [words]
    for _ in range(1, max_n):
        lasts += 1
        continues = np.append(joined, False)[lasts]
        ngrams, lasts = ngrams.filter(pyarrow.array(continues)), lasts[continues]
        ngrams = compute.call_function(
            "binary_join_element_wise", [ngrams, words.take(pyarrow.array(lasts)), " "], compute.JoinOptions()
        )
        chunks.append(ngrams)
    counted = pyarrow.chunked_array(chunks, pyarrow.string()).value_counts()
    return pyarrow.table({"ngram": counted.field("values"), "count": counted.field("counts")})


def _num_words(ngrams: "pyarrow.Array | pyarrow.ChunkedArray") -> np.ndarray:
    """Return the length of each n-gram in words."""
    from pyarrow import compute

    spaces = compute.call_function("count_substring", [ngrams], compute.MatchSubstringOptions(" "))
    return spaces.to_numpy(zero_copy_only=False) + 1


def _spill(item: tuple[int, _Piece], *, folder: str, max_n: int, num_parts: int) -> tuple[int, np.ndarray]:
    """Count one piece and write it to a file of its own, with one record batch for each part.

    Args:
        item: Number of the piece, and the piece.
        folder: Where the files are written.
        max_n: Words of the longest n-gram.
        num_parts: Number of parts that the n-grams are divided into, by a hash.

    Returns:
        The number of texts, and of occurrences of n-grams of 1, 2, ... words.
    """
    import pyarrow

    index, piece = item
    table, num_texts = _count_block(piece, max_n) if isinstance(piece, Block) else _read_piece(piece)
    lengths = _num_words(table["ngram"])
    if isinstance(piece, _CountedPiece):
        short = lengths <= max_n
        table, lengths = table.filter(pyarrow.array(short)), lengths[short]
    totals = np.bincount(lengths, table["count"].to_numpy(), max_n + 1)[1:].astype(np.int64)
    _write_parts(table, os.path.join(folder, f"{index:09d}.arrow"), num_parts)
    return num_texts, totals


def _write_parts(table: "pyarrow.Table", path: str, num_parts: int) -> None:
    import pyarrow

    ngrams = table["ngram"].cast(pyarrow.binary()).to_pylist()
    # Python's own hash differs from process to process, and would send the same n-gram to two parts
    parts = np.fromiter(map(crc32, ngrams), np.uint32, len(ngrams)) % num_parts
    columns = [column.combine_chunks() for column in table.take(pyarrow.array(np.argsort(parts))).columns]
    ends = np.cumsum(np.bincount(parts, minlength=num_parts)).tolist()
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pyarrow.ipc.new_file(path, table.schema, options=options) as writer:
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            pieces = [column.slice(start, end - start) for column in columns]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(pieces, schema=table.schema))


def _add_up(part: int, *, folder: str, max_n: int, min_count: int) -> tuple["pyarrow.Table", np.ndarray]:
    """Add up one part over all files of a folder.

    Args:
        part: Number of the part.
        folder: Where `_spill` wrote.
        max_n: Words of the longest n-gram.
        min_count: Rarer n-grams are left out of the table.

    Returns:
        Columns ngram and count, and the number of different n-grams of 1, 2, ... words, rare ones included.
    """
    import pyarrow

    batches = []
    for name in sorted(os.listdir(folder)):
        with pyarrow.OSFile(os.path.join(folder, name)) as file:
            batches.append(pyarrow.ipc.open_file(file).get_batch(part))
    table = pyarrow.Table.from_batches(batches)
    table = table.group_by("ngram", use_threads=False).aggregate([("count", "sum")])
    table = table.rename_columns(["ngram", "count"])
    num_types = np.bincount(_num_words(table["ngram"]), minlength=max_n + 1)[1:]
    return table.filter(pyarrow.array(table["count"].to_numpy() >= min_count)), num_types


def _count_block(block: Block, max_n: int) -> tuple["pyarrow.Table", int]:
    texts = [text.text for text in block.texts()]
    return count_texts(texts, max_n), len(texts)


def _read_piece(piece: _CountedPiece) -> tuple["pyarrow.Table", int]:
    import pyarrow

    path, make = Path(piece.path), "count its corpus again with: diffmask pmi DATA -o FOLDER --save-counts FILE"
    table, _ = read_table(path, {"ngram": "string", "count": "int64"}, make, row_group=piece.row_group)
    check_counts(path, table["count"].to_numpy(), make)
    # of counts by an earlier rule, what is one n-gram today is added up later
    ngrams = pyarrow.array(types_of(table["ngram"].to_pylist()), pyarrow.string())
    return table.set_column(table.schema.get_field_index("ngram"), "ngram", ngrams), 0


@contextmanager
def _open_counts(path: Path | None, record: dict[str, Any]) -> Iterator[Callable[["pyarrow.Table"], None]]:
    """Yield a function that writes a table to a counts file; the file appears when all is written.

    Args:
        path: The file; None writes none.
        record: How the n-grams were counted, for the file's metadata.
    """
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
    """Return what a file of counts says about itself: max_n, num_documents, totals, sources."""
    make = f"make one with: diffmask pmi DATA -o FOLDER --save-counts {path}"
    if not path.is_file():
        raise InputError(f"{path} does not exist; {make}")
    if not has_record(path, _METADATA_KEY):
        raise InputError(f"{path} is not a file of n-gram counts; {make}")
    _, record = read_table(path, {}, make, _METADATA_KEY, _Record)
    if record["max_n"] < max_n:
        longest = record["max_n"]
        raise InputError(f"{path} holds n-grams of up to {longest} words, not {max_n}; give --max-n {longest}")
    return record


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

    max_n: Annotated[int, Between(2, MAX_N, f"n-grams have two to {MAX_N} words")] = MAX_N
    min_count: Annotated[int, at_least(1, "1 keeps every n-gram, 11 is the paper's")] = 11
    column: str | None = None
    num_processes: Annotated[int, at_least(1, "1 counts without other processes"), PROCESSES] = 1

    def __post_init__(self) -> None:
        """Check the values."""
        check_limits(self)


@dataclass(frozen=True, eq=False)
class NGramCounts:
    """How often each n-gram occurs.

    Attributes:
        table: Columns ngram and count, of those with the minimum count, single words among them; in no order.
        totals: Number of occurrences of n-grams of 1, 2, ... words, rare ones included.
        num_types: Number of different n-grams of 1, 2, ... words, rare ones included.
        num_documents: Number of texts that were counted.
        min_count: Least count in the table.
        sources: Path, bytes and sha256 of every file that was counted.
    """

    table: "pyarrow.Table"
    totals: tuple[int, ...]
    num_types: tuple[int, ...]
    num_documents: int
    min_count: int
    sources: list[dict[str, Any]]

    def of_length(self, n: int) -> tuple["pyarrow.Array", np.ndarray]:
        """Return the n-grams of n words in the table, and their counts."""
        import pyarrow

        level = self.table.filter(pyarrow.array(_num_words(self.table["ngram"]) == n))
        return level["ngram"].combine_chunks(), level["count"].to_numpy()


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
        sources: Files, folders, globs, datasets on disk: see `list_files`.
        counts_files: Files that were written with `save_to`.
        settings: How n-grams are counted; None takes the paper's.
        save_to: Parquet file for the counts of all n-grams, columns ngram and count; None keeps none.
        overwrite: Whether that file may exist.
        scratch: Folder for temporary files, which need about seven times the room of the text; None takes the folder of
            `save_to`, or the system's.

    Raises:
        InputError: A source cannot be read or is counted twice, or a counts file holds no counts or shorter n-grams.
    """
    settings = settings or NGramSettings()
    files = list_files(sources, settings.column) if sources or not counts_files else []
    if save_to is not None:
        reads = [*files, *counts_files]
        save_to = check_table(
            save_to, "file of n-gram counts", _METADATA_KEY, overwrite=overwrite, reads=reads, option="--save-counts"
        )
        scratch = scratch or save_to.parent
    records = [_read_record(Path(path), settings.max_n) for path in counts_files]
    described = describe_sources(files) if files else []
    num_parts = _num_parts(described, counts_files)
    described = join_sources([*(record["sources"] for record in records), described])
    with tempfile.TemporaryDirectory(prefix=".diffmask-ngrams-", dir=scratch) as folder:
        spill = partial(_spill, folder=folder, max_n=settings.max_n, num_parts=num_parts)
        totals, num_documents = _spill_all(spill, files, counts_files, settings)
        num_documents += sum(record["num_documents"] for record in records)
        about = {"version": __version__, "words": RULE, "max_n": settings.max_n, "num_documents": num_documents}
        # rare n-grams are needed only for the file
        least = settings.min_count if save_to is None else 1
        add_up = partial(_add_up, folder=folder, max_n=settings.max_n, min_count=least)
        with _open_counts(save_to, about | {"totals": totals, "sources": described}) as write:
            table, num_types = _add_up_all(add_up, num_parts, settings, write)
    return NGramCounts(table, tuple(totals), tuple(num_types), num_documents, settings.min_count, described)


def _num_parts(described: list[dict[str, Any]], counts_files: Sequence[str | Path]) -> int:
    sizes = [(Path(source["path"]), source["bytes"]) for source in described]
    lengths = [size * (_COMPRESSION if split_suffix(path)[1] else 1) * _GROWTH for path, size in sizes]
    lengths += [Path(path).stat().st_size * _COMPRESSION for path in counts_files]
    return min(1 + sum(lengths) // _PART_BYTES, _MAX_PARTS)


def _spill_all(
    spill: Callable[[tuple[int, _Piece]], tuple[int, np.ndarray]],
    files: Sequence[Path],
    counts_files: Sequence[str | Path],
    settings: NGramSettings,
) -> tuple[list[int], int]:
    """Write all pieces; return the occurrences of n-grams of 1, 2, ... words and the number of documents."""
    from tqdm import tqdm

    totals = np.zeros(settings.max_n, dtype=np.int64)
    reading = Reading(files, settings.column)
    num_bytes = sum(Path(path).stat().st_size for path in counts_files)
    with tqdm(total=num_bytes, desc="counting", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        pieces = _pieces(reading, counts_files, bar)
        # the processes write to the folder, so they must have ended before it goes away
        with closing(map_ordered(spill, pieces, settings.num_processes)) as results:
            for (_, piece), (num_texts, part_totals) in results:
                totals += part_totals
                if isinstance(piece, Block):
                    reading.add_texts(piece.path, num_texts)
    reading.refuse_empty()
    reading.tell()
    return totals.tolist(), reading.num_documents


def _pieces(reading: Reading, counts_files: Sequence[str | Path], bar: "tqdm") -> Iterator[tuple[int, _Piece]]:
    from pyarrow import parquet

    index = 0
    for index, block in enumerate(reading.blocks(_BLOCK_BYTES, bar), 1):
        yield index, block
    for path in map(Path, counts_files):
        num_groups = parquet.ParquetFile(path).num_row_groups
        for row_group in range(num_groups):
            index += 1
            yield index, _CountedPiece(str(path), row_group)
            bar.update(path.stat().st_size / num_groups)


def _add_up_all(
    add_up: Callable[[int], tuple["pyarrow.Table", np.ndarray]],
    num_parts: int,
    settings: NGramSettings,
    write: Callable[["pyarrow.Table"], None],
) -> tuple["pyarrow.Table", list[int]]:
    """Write all n-grams; return those with the minimum count, and the number of different n-grams of each length."""
    import pyarrow
    from tqdm import tqdm

    kept: list[pyarrow.Table] = []
    num_types = np.zeros(settings.max_n, dtype=np.int64)
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
