"""A corpus as rows of token ids, units and types: `tokenise` keeps them on the disk, `stream` makes them while reading.

    dataset = tokenise(["papers/"], tokenizer, TokeniseSettings(max_length=128), types, "cache/")

Tokenised once, the rows are Arrow files that are found again. A stream is for a corpus that is too large to keep, or
that is still being written. `tokenise_each` is for texts that belong to something, one row to each.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from diffmask.config.limits import PROCESSES, OneOf, at_least, check_limits
from diffmask.core.errors import InputError
from diffmask.files.blocks import Block
from diffmask.files.cache import Record, Write, load_or_make
from diffmask.files.parallel import map_ordered
from diffmask.files.records import read_blocks
from diffmask.text.corpus.documents import (
    Reading,
    Sources,
    hash_sources,
    list_files,
)
from diffmask.text.corpus.words import RULE
from diffmask.text.segment.rows import Annotator, Report, RowMaker
from diffmask.text.segment.segmenter import UNITS, mask_id, segmenter_for
from diffmask.text.segment.type_table import TypeTable

if TYPE_CHECKING:
    import datasets
    import pyarrow
    from transformers import PreTrainedTokenizerBase

_FORMAT = 1
"""Part of the key of the cache, to be raised when the same text gives other rows."""
_BLOCK_BYTES = 1 << 20
"""Text that one process is given at a time."""
_BLOCK_TEXTS = 1 << 12
"""Texts that one process is given at a time, where each becomes a row."""
_STREAM_BLOCK_BYTES = 1 << 16
"""Shards of a file take turns at blocks of this size."""
_MIN_EVIDENCE = 100
"""Documents of a stream after which their share without words says something about the corpus."""
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of the splitmix64 generator (S. Vigna, 2015)
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokeniseSettings:
    """How a corpus becomes rows.

    Attributes:
        max_length: Most tokens of a row, special tokens included; 128 as in nine tenths of BERT's pretraining.
        overlap: Most tokens that a window of a long document repeats of the window before, as whole units.
        units: `word` or `token`.
        column: Name of the text column; None finds it.
        num_processes: How many processes tokenise; the result is the same.
        annotators: What gives units further values, kept as columns beside the tokens.

    Raises:
        InputError: If a value is not allowed with any tokenizer.
    """

    max_length: int = 128
    overlap: int = 0
    units: Annotated[str, OneOf(UNITS)] = "word"
    column: str | None = None
    num_processes: Annotated[int, at_least(1, "1 works without other processes"), PROCESSES] = 1
    annotators: tuple[Annotator, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without a tokenizer."""
        check_limits(self)


def tokenise(
    sources: Sources,
    tokenizer: "PreTrainedTokenizerBase",
    settings: TokeniseSettings,
    types: Sequence[str] | None,
    cache_folder: str | Path,
) -> "datasets.Dataset":
    """Return the rows of a corpus; they are made once, and found again as long as content and settings are the same.

    Args:
        sources: Files, folders, globs, datasets on disk: see `list_files`.
        tokenizer: Any fast tokenizer with a mask token.
        settings: How the corpus becomes rows.
        types: Table of types; None leaves the types of all units unknown.
        cache_folder: Where the rows are kept; several runs may share it at the same time.

    Returns:
        Columns input_ids and unit_ids (of each token; -1 = no unit), types (of each unit, its row in `types`; -1 =
        unknown), num_units, those of the annotators (of each unit), and sample_id (the number of the row).

    Raises:
        InputError: If the corpus, the tokenizer or a setting cannot be used.
    """
    make_rows = row_maker(tokenizer, settings, types)
    files = list_files(sources, settings.column)
    key = _key(make_rows, hash_sources(files), settings, types)

    def fill(write: Write) -> Record:
        report = _write_rows(files, make_rows, settings, write)
        _check_report(report, settings.units)
        return asdict(report)

    dataset, record = load_or_make(Path(cache_folder), f"tokens-{key}", _dataset_schema(make_rows), fill)
    dataset.info.description = str(Report(**record))
    _logger.info("tokenised: %s", dataset.info.description)
    return dataset


def tokenise_each(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    settings: TokeniseSettings,
    types: Sequence[str] | None,
    cache_folder: str | Path,
) -> tuple["datasets.Dataset", Report]:
    """Return one row of each text, for texts that belong to something: what does not fit into a row is cut off.

    Args:
        texts: The texts.
        tokenizer: Any fast tokenizer with a mask token.
        settings: How texts become rows; their overlap says nothing here.
        types: Table of types, as for `tokenise`.
        cache_folder: Where the rows are kept, as for `tokenise`.

    Returns:
        The columns of `tokenise`, with sample_id the place of the row's text among all, which rise: a text of which
        the tokenizer knows nothing has no row. And what became of the texts, with how many are longer than a row.

    Raises:
        InputError: If the tokenizer or a setting cannot be used, or no text gives a row.
    """
    make_rows = row_maker(tokenizer, settings, types)
    content = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    key = _key(make_rows, f"each of {content}", settings, types)

    def fill(write: Write) -> Record:
        report = _write_each(texts, make_rows, settings.num_processes, write)
        _check_report(report, settings.units)
        return asdict(report)

    dataset, record = load_or_make(Path(cache_folder), f"texts-{key}", _dataset_schema(make_rows), fill)
    report = Report(**record)
    dataset.info.description = str(report)
    return dataset, report


def _write_each(texts: Sequence[str], make_rows: RowMaker, num_processes: int, write: Write) -> Report:
    import pyarrow

    report = Report()
    blocks = (
        Block("", first, 1.0, list(texts[first : first + _BLOCK_TEXTS])) for first in range(0, len(texts), _BLOCK_TEXTS)
    )
    # a process that has nothing to do would only have to start
    for _, rows in map_ordered(make_rows, blocks, min(num_processes, -(-len(texts) // _BLOCK_TEXTS) or 1)):
        is_first = np.r_[True, rows.documents[1:] != rows.documents[:-1]][: len(rows.documents)]
        ids = pyarrow.array(rows.documents[is_first], pyarrow.int64())
        write(rows.batch.filter(pyarrow.array(is_first)).append_column("sample_id", ids))
        report += replace(rows.report, num_rows=int(is_first.sum()))
    return report


def row_maker(
    tokenizer: "PreTrainedTokenizerBase", settings: TokeniseSettings, types: Sequence[str] | None
) -> RowMaker:
    """Return what turns blocks of a corpus into rows: `tokenise` and `stream` are two ways to use it.

    Raises:
        InputError: The tokenizer or a setting cannot be used.
    """
    table = TypeTable.of(types)
    segmenter = segmenter_for(tokenizer, settings.units, table.language)
    mask_id(tokenizer)  # refuses a tokenizer without one
    most, least = tokenizer.model_max_length, segmenter.special_tokens.num_tokens + 1
    if settings.max_length > most:
        raise InputError(
            f"max_length={settings.max_length} is more than the {most} tokens that this tokenizer's model reads; "
            f"give at most {most}, longer documents become several windows"
        )
    if settings.max_length < least:
        raise InputError(
            f"max_length={settings.max_length} leaves no room for text beside {least - 1} special tokens; "
            f"give at least {least}"
        )
    if not 0 <= settings.overlap <= settings.max_length - least:
        raise InputError(
            f"overlap={settings.overlap} is outside [0, {settings.max_length - least}], what max_length="
            f"{settings.max_length} and {least - 1} special tokens allow; give a smaller overlap"
        )
    return RowMaker(segmenter, settings.max_length, settings.overlap, table, settings.annotators)


def _check_report(report: Report, units: str) -> None:
    """Refuse a corpus in which nothing can be masked, or most documents of which did not fall into words.

    Documents are counted, not tokens: one genome or one long address in a corpus is no reason to stop.
    """
    if units == "word" and 2 * report.num_collapsed_documents > report.num_documents:
        raise InputError(
            f"units=word finds {report.num_units:,} units in {report.num_tokens:,} tokens, because the tokens of "
            f"{report.num_collapsed_documents:,} of {report.num_documents:,} documents do not fall into words; "
            "use masking.policy=random-token, or another with masking.units=token, and masking.eval_units=token"
        )
    if report.num_rows == 0:
        raise InputError(
            f"the corpus has {report.num_documents:,} documents and {report.num_tokens:,} tokens, but none that the "
            "tokenizer knows; give other text or a tokenizer of its language"
        )


def _dataset_schema(make_rows: RowMaker) -> "pyarrow.Schema":
    """Return the columns of the dataset."""
    import pyarrow

    return make_rows.schema.append(pyarrow.field("sample_id", pyarrow.int64()))


def _write_rows(files: list[Path], make_rows: RowMaker, settings: TokeniseSettings, write: Write) -> Report:
    import pyarrow
    from tqdm import tqdm

    report = Report()
    reading = Reading(files, settings.column)
    with tqdm(desc="tokenise", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        blocks = reading.blocks(_BLOCK_BYTES, bar)
        for block, rows in map_ordered(make_rows, blocks, settings.num_processes):
            ids = np.arange(report.num_rows, report.num_rows + rows.report.num_rows)
            write(rows.batch.append_column("sample_id", pyarrow.array(ids, pyarrow.int64())))
            report += rows.report
            reading.add_texts(block.path, rows.report.num_documents)
            bar.set_postfix(documents=report.num_documents, rows=report.num_rows, refresh=False)
    reading.refuse_empty()
    return replace(report, read=str(reading))


def _key(make_rows: RowMaker, sources_hash: str, settings: TokeniseSettings, types: Sequence[str] | None) -> str:
    import tokenizers

    digest = hashlib.sha256()
    parts = asdict(replace(settings, annotators=())) | {
        "annotators": [annotator.key for annotator in settings.annotators],
        "num_processes": None,  # changes nothing in the rows
        "format": _FORMAT,
        "tokenizers": tokenizers.__version__,
        "sources": sources_hash,
        "special_ids": make_rows.segmenter.special_ids.tolist(),
        "types": None if types is None else len(types),
        "words": RULE,
        "language": make_rows.table.language,
    }
    digest.update(json.dumps(parts, sort_keys=True).encode())
    digest.update(make_rows.segmenter.backend.to_str().encode())
    digest.update("\n".join(types or ()).encode("utf-8", "surrogatepass"))
    digest.update(np.asarray(make_rows.table.telling or (), dtype=np.float64).tobytes())
    return digest.hexdigest()[:32]


class _Shard(NamedTuple):
    """Every `num_pieces`-th block of a file, from block `piece` on."""

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
    """Return the rows of a corpus as they are read; the columns are those of `tokenise`.

    Shards are dealt out to the ranks and to the workers of a DataLoader, so that each row is made exactly once.
    A shard is a file; where there are fewer files than shards, the blocks of a file are dealt out in turn.

    Args:
        sources: Files, folders, globs, datasets on disk: see `list_files`.
        tokenizer: Any fast tokenizer with a mask token.
        settings: How the corpus becomes rows; workers of the DataLoader take the place of `num_processes`.
        types: Table of types; None leaves the types of all units unknown.
        num_shards: Least number of shards: a multiple of ranks times workers divides the work evenly.

    Returns:
        Rows whose sample_id is a hash of source, document and window, the same in every run and on every rank.

    Raises:
        InputError: The corpus, the tokenizer or a setting cannot be used.
    """
    import datasets

    if num_shards < 1:
        raise InputError(f"num_shards={num_shards} is below 1; give at least one per rank and worker")
    make_rows = row_maker(tokenizer, settings, types)
    files = list_files(sources, settings.column)
    num_pieces = -(-num_shards // len(files))
    shards = [_Shard(str(path), i, piece, num_pieces) for piece in range(num_pieces) for i, path in enumerate(files)]
    return datasets.IterableDataset.from_generator(
        partial(_stream_rows, make_rows=make_rows, column=settings.column),
        features=datasets.Features.from_arrow_schema(_dataset_schema(make_rows)),
        gen_kwargs={"shards": shards},
    )


def _stream_rows(shards: Sequence[_Shard], make_rows: RowMaker, column: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of shards, one shard after the other."""
    for shard in shards:
        report, is_checked = Report(), False
        for index, block in enumerate(read_blocks(Path(shard.path), column, _STREAM_BLOCK_BYTES)):
            if index % shard.num_pieces != shard.piece:
                continue
            rows = make_rows(block)
            report += rows.report
            if not is_checked and report.num_documents >= _MIN_EVIDENCE:
                _check_report(report, make_rows.segmenter.units)
                is_checked = True
            sample_ids = _sample_ids(shard.source_index, rows.documents, rows.windows)
            columns = [values.to_pylist() for values in rows.batch.columns]
            for values in zip(*columns, sample_ids.tolist(), strict=True):
                yield dict(zip((*rows.batch.schema.names, "sample_id"), values, strict=True))


def _sample_ids(source_index: int, documents: np.ndarray, windows: np.ndarray) -> np.ndarray:
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
