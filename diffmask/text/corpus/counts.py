"""Counts of word types: made by map-reduce over a corpus, merged by addition, kept in a Parquet file.

    counts = count_corpus(["papers/"], num_processes=4)
    Counts.merge([counts, Counts.load("older.parquet")]).save("counts.parquet")

Blocks of a corpus are counted one by one, here or in other processes, and their counts are added up.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np

from diffmask.config.limits import PROCESSES, at_least, check_value
from diffmask.core.errors import InputError
from diffmask.files.blocks import Block
from diffmask.files.folders import draft
from diffmask.files.made_folder import check_table, has_record, read_table
from diffmask.files.parallel import map_ordered
from diffmask.text.corpus.documents import Reading, Sources, describe_sources, join_sources, list_files
from diffmask.text.corpus.words import RULE, count_words, types_of
from diffmask.version import __version__

_Source = TypedDict("_Source", {"path": str, "bytes": int, "sha256": str})  # noqa: UP013 - one line for three keys
_SUFFIX = ".parquet"
_METADATA_KEY = b"diffmask.counts"
_BLOCK_BYTES = 1 << 20
_SENT_BLOCK_BYTES = 1 << 22
"""Size of the blocks that other processes count: larger, so that fewer counts have to be sent back."""


class CountsRecord(TypedDict):
    """What counts of words and of n-grams say of themselves."""

    num_documents: Annotated[int, at_least(0)]
    sources: list[_Source]
    words: NotRequired[int]


def check_counts(path: Path, counts: np.ndarray, make: str) -> None:
    """Refuse counts of a file that are below one.

    Raises:
        InputError: If one of them is.
    """
    if (counts < 1).any():
        raise InputError(f"{path} is damaged (it counts something {counts.min()} times); {make}")


@dataclass(frozen=True)
class Counts:
    """How often each type occurs in a corpus. Counts of two corpora add up."""

    counts: Counter[str]
    num_documents: int
    sources: list[dict[str, Any]] = field(default_factory=list)
    """Path, bytes and sha256 of every file that was counted."""

    @property
    def num_words(self) -> int:
        """Number of words, all types together."""
        return self.counts.total()

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the counts, most frequent type first; a file that exists is kept unless `overwrite`.

        Raises:
            InputError: See `check_output`.
        """
        import pyarrow
        from pyarrow import parquet

        path = check_output(path, overwrite=overwrite)
        rows = sorted(self.counts.items(), key=lambda row: (-row[1], row[0]))
        table = pyarrow.table({"type": [row[0] for row in rows], "count": [row[1] for row in rows]})
        record = {
            "version": __version__,
            "words": RULE,
            "num_documents": self.num_documents,
            "num_words": self.num_words,
            "sources": self.sources,
        }
        with draft(path) as new:
            parquet.write_table(table.replace_schema_metadata({_METADATA_KEY: json.dumps(record)}), new)

    @classmethod
    def load(cls, path: str | Path) -> "Counts":
        """Read a counts file; of one made by an earlier rule, what is one type today is added up.

        Raises:
            InputError: The file does not exist or is not a counts file.
        """
        path, make = Path(path), f"make one with: diffmask count DATA -o COUNTS{_SUFFIX}"
        if not path.is_file():
            raise InputError(f"{path} does not exist; make a counts file with: diffmask count DATA -o {path}")
        if not has_record(path, _METADATA_KEY):
            raise InputError(f"{path} is not a counts file; {make}")
        table, record = read_table(path, {"type": "string", "count": "int64"}, make, _METADATA_KEY, CountsRecord)
        check_counts(path, table["count"].to_numpy(), make)
        types, numbers = table["type"].to_pylist(), table["count"].to_pylist()
        counts: Counter[str] = Counter()
        for word, number in zip(types if record.get("words") == RULE else types_of(types), numbers, strict=True):
            counts[word] += number
        return cls(counts, record["num_documents"], record["sources"])

    @staticmethod
    def are_in(path: str | Path) -> bool:
        """Tell whether a file was written by `save`."""
        return Path(path).suffix == _SUFFIX and Path(path).is_file() and bool(has_record(Path(path), _METADATA_KEY))

    @classmethod
    def merge(cls, parts: Sequence["Counts"]) -> "Counts":
        """Return the sum of counts.

        Raises:
            InputError: The same file was counted in two of them.
        """
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part.counts)
        sources = join_sources([part.sources for part in parts])
        return cls(counts, sum(part.num_documents for part in parts), sources)


def check_output(path: str | Path, *, overwrite: bool = False, reads: Iterable[str | Path] = ()) -> Path:
    """Return the path of a counts file that may be written; see `made_folder.check_table`."""
    return check_table(path, "file of counts", _METADATA_KEY, overwrite=overwrite, reads=reads)


def count_corpus(
    sources: Sources, column: str | None = None, num_processes: int = 1, language: str | None = None
) -> Counts:
    """Count the words of a corpus; memory holds the vocabulary and a few blocks, however long the corpus is.

    Args:
        sources: Files, folders, globs, datasets on disk: see `list_files`.
        column: Name of the text column; None finds it.
        num_processes: 1 counts in this process. More are started afresh (spawned), so a script that asks for them keeps
            its work under `if __name__ == "__main__":`.
        language: Language whose own case and letters count, see `split_words`.

    Raises:
        InputError: A source cannot be read, or `num_processes` is below 1.
    """
    if num_processes < 1:
        raise InputError(f"num_processes={num_processes} is below 1; 1 counts without other processes")
    check_value("num_processes", num_processes, PROCESSES)
    from tqdm import tqdm

    files = list_files(sources, column)
    counts: Counter[str] = Counter()
    reading = Reading(files, column)
    with tqdm(desc="counting", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        blocks = reading.blocks(_BLOCK_BYTES if num_processes == 1 else _SENT_BLOCK_BYTES, bar)
        for path, num_texts in _count_all(blocks, counts, num_processes, language):
            reading.add_texts(path, num_texts)
    reading.refuse_empty()
    reading.tell()
    return Counts(counts, reading.num_documents, describe_sources(files))


def _count_all(
    blocks: Iterable[Block], counts: Counter[str], num_processes: int, language: str | None = None
) -> Iterator[tuple[str, int]]:
    """Add the words of blocks to the counts; yield the path and the number of documents of each block."""
    if num_processes == 1:
        yield from ((block.path, _count_block(block, counts, language)[0]) for block in blocks)
        return
    for block, (num_texts, part) in map_ordered(partial(_count_block, language=language), blocks, num_processes):
        counts.update(part)
        yield block.path, num_texts


def _count_block(
    block: Block, counts: Counter[str] | None = None, language: str | None = None
) -> tuple[int, Counter[str]]:
    texts = [text.text for text in block.texts()]
    return len(texts), count_words(texts, counts, language)
