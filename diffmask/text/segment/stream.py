"""A corpus tokenised while it is read: for one that is too large to keep, or that is still being written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffmask.core.errors import InputError
from diffmask.text.corpus.documents import Sources, check_column, list_files, read_blocks
from diffmask.text.segment.rows import Report, RowMaker
from diffmask.text.segment.tokenise import TokeniseSettings, check_report, dataset_schema, row_maker

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

BLOCK_BYTES = 1 << 16
"""Shards of a file take turns at blocks of this size."""
MIN_EVIDENCE = 100
"""Documents after which a share of them says something about the corpus."""
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of the splitmix64 generator (S. Vigna, 2015)
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio


class Shard(NamedTuple):
    """Every so-manieth block of a file."""

    path: str
    source_index: int
    piece: int
    num_pieces: int


def stream(
    sources: Sources,
    tokenizer: "PreTrainedTokenizerBase",
    settings: TokeniseSettings,
    types: Sequence[str] | None,
    num_shards: int = 16,
) -> "datasets.IterableDataset":
    """Return the rows of a corpus as they are read; the columns are those of `dataset.tokenise`.

    Shards are dealt out to the ranks and to the workers of a DataLoader, so that each row is made once, wherever. They
    are files, or, where there are fewer files than shards, every so-manieth block of a file.

    Args:
        sources: Files, folders, globs, datasets on disk: see `corpus.list_files`.
        tokenizer: Any fast tokenizer with a mask token.
        settings: How the corpus becomes rows; workers of the DataLoader take the place of `num_processes`.
        types: Table of types; None leaves the types of all units unknown.
        num_shards: At least so many shards: a multiple of ranks times workers divides the work evenly.

    Returns:
        Rows whose sample_id is a hash of source, document and window, the same in every run and on every rank.

    Raises:
        InputError: The corpus, the tokenizer or a setting cannot be used.
    """
    import datasets

    if num_shards < 1:
        raise InputError(f"num_shards={num_shards} is below 1; give at least one per rank and worker")
    make_rows = row_maker(tokenizer, settings, types)
    files = list_files(sources)
    check_column(files, settings.column)
    num_pieces = -(-num_shards // len(files))
    shards = [Shard(str(path), i, piece, num_pieces) for piece in range(num_pieces) for i, path in enumerate(files)]
    return datasets.IterableDataset.from_generator(
        RowStream(make_rows, settings.column),
        features=datasets.Features.from_arrow_schema(dataset_schema(settings)),
        gen_kwargs={"shards": shards},
    )


@dataclass(frozen=True, eq=False)
class RowStream:
    """Read shards of a corpus and yield their rows.

    Attributes:
        make_rows: Makes the rows of a block.
        column: Name of the text column; None finds it.
    """

    make_rows: RowMaker
    column: str | None

    def __call__(self, shards: Sequence[Shard]) -> Iterator[dict[str, Any]]:
        """Yield rows shard by shard."""
        for shard in shards:
            yield from self._rows(shard)

    def _rows(self, shard: Shard) -> Iterator[dict[str, Any]]:
        report, is_checked = Report(), False
        for index, block in enumerate(read_blocks(Path(shard.path), self.column, BLOCK_BYTES)):
            if index % shard.num_pieces != shard.piece:
                continue
            rows = self.make_rows(block)
            report += rows.report
            if not is_checked and report.num_documents >= MIN_EVIDENCE:
                check_report(report, self.make_rows.segmenter.units)
                is_checked = True
            sample_ids = sample_ids_of(shard.source_index, rows.documents, rows.windows)
            columns = [column.to_pylist() for column in rows.batch.columns]
            for values in zip(*columns, sample_ids.tolist(), strict=True):
                yield dict(zip((*rows.batch.schema.names, "sample_id"), values, strict=True))


def sample_ids_of(source_index: int, documents: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return the identity of each row: 63 hashed bits of where it stands in the corpus, int64 (R,)."""
    hashed = np.full(len(documents), source_index, dtype=np.uint64)
    for part in (documents, windows):
        hashed = _mix(hashed) + part.astype(np.uint64)
    return (_mix(hashed) >> np.uint64(1)).astype(np.int64)


def _mix(words: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words; a bijection."""
    words = words + np.uint64(_GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * _MIXERS[0]
    words = (words ^ (words >> np.uint64(27))) * _MIXERS[1]
    return words ^ (words >> np.uint64(31))
