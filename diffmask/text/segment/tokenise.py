"""A corpus, tokenised once: rows of token ids, units and types, kept in Arrow files and read from the disk.

dataset = tokenise(["papers/"], tokenizer, TokeniseSettings(max_length=128), types, "cache/")
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.blocks import Block
from diffmask.files.cache import Record, Write, load_or_make
from diffmask.files.parallel import map_ordered
from diffmask.text.corpus.documents import (
    Sources,
    check_column,
    hash_sources,
    list_files,
    read_blocks,
    refuse_without_text,
)
from diffmask.text.segment.annotate import Annotator
from diffmask.text.segment.rows import Report, RowMaker, row_schema
from diffmask.text.segment.segmenter import segmenter_for
from diffmask.text.segment.special import mask_token
from diffmask.text.segment.windows import special_tokens_of

if TYPE_CHECKING:
    import datasets
    import pyarrow
    from transformers import PreTrainedTokenizerBase

FORMAT = 1
"""Part of the key of the cache; to be raised when the rows of the same text change."""

BLOCK_BYTES = 1 << 20
"""Text that one process is given at a time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokeniseSettings:
    """How a corpus becomes rows.

    Attributes:
        max_length: Most tokens of a row, special tokens included; 128 as in nine tenths of BERT's pretraining.
        overlap: Long documents become windows; each repeats up to so many tokens of the one before, as whole units.
        units: `word` or `token`.
        column: Name of the text column; None finds it.
        num_processes: Changes the time it takes, not the result.
        annotators: What gives units further values, kept as columns beside the tokens.
    """

    max_length: int = 128
    overlap: int = 0
    units: str = "word"
    column: str | None = None
    num_processes: int = 1
    annotators: tuple[Annotator, ...] = ()


def tokenise(
    sources: Sources,
    tokenizer: "PreTrainedTokenizerBase",
    settings: TokeniseSettings,
    types: Sequence[str] | None,
    cache_folder: str | Path,
) -> "datasets.Dataset":
    """Return the rows of a corpus; they are made once and found again when content and settings are the same.

    Args:
        sources: Files, folders, globs, datasets on disk: see `corpus.list_files`.
        tokenizer: Any fast tokenizer with a mask token.
        settings: How the corpus becomes rows.
        types: Table of types; None leaves the types of all units unknown.
        cache_folder: Where the rows are kept; several runs may share it at the same time.

    Returns:
        Columns input_ids and unit_ids (of each token; -1 = no unit), types (of each unit, its row in `types`; -1 =
        unknown), num_units, those of the annotators (of each unit), and sample_id (the number of the row).

    Raises:
        InputError: The corpus, the tokenizer or a setting cannot be used; the message says why and what to do.
    """
    make_rows = row_maker(tokenizer, settings, types)
    files = list_files(sources)
    check_column(files, settings.column)
    key = _key(make_rows, hash_sources(files), settings, types)

    def fill(write: Write) -> Record:
        report = _write_rows(files, make_rows, settings, write)
        check_report(report, settings.units)
        return asdict(report)

    dataset, record = load_or_make(Path(cache_folder), f"tokens-{key}", dataset_schema(settings), fill)
    dataset.info.description = str(Report(**record))
    logger.info("tokenised: %s", dataset.info.description)
    return dataset


def row_maker(
    tokenizer: "PreTrainedTokenizerBase", settings: TokeniseSettings, types: Sequence[str] | None
) -> RowMaker:
    """Return what turns blocks of a corpus into rows.

    Raises:
        InputError: The tokenizer or a setting cannot be used.
    """
    segmenter = segmenter_for(tokenizer, settings.units)
    mask_token(tokenizer)  # is there, or refused
    special_tokens = special_tokens_of(segmenter.backend)
    most, least = tokenizer.model_max_length, len(special_tokens) + 1
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
    if settings.num_processes < 1:
        raise InputError(f"num_processes={settings.num_processes} is below 1; 1 works without other processes")
    type_rows = {surface: row for row, surface in enumerate(types or ())}
    return RowMaker(segmenter, special_tokens, settings.max_length, settings.overlap, type_rows, settings.annotators)


def check_report(report: Report, units: str) -> None:
    """Refuse a corpus in which nothing can be masked, or which did not fall into words.

    Documents are compared, not tokens: one genome or one long address in a corpus is no reason to stop.

    Raises:
        InputError: See above.
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


def dataset_schema(settings: TokeniseSettings) -> "pyarrow.Schema":
    """Return the columns of the dataset."""
    import pyarrow

    return row_schema(settings.annotators).append(pyarrow.field("sample_id", pyarrow.int64()))


def _write_rows(files: list[Path], make_rows: RowMaker, settings: TokeniseSettings, write: Write) -> Report:
    import pyarrow

    report = Report()
    num_documents = dict.fromkeys(map(str, files), 0)
    with _progress_bar(files) as bar:
        blocks = _read_all(files, settings.column, bar)
        for block, rows in map_ordered(make_rows, blocks, settings.num_processes):
            ids = np.arange(report.num_rows, report.num_rows + rows.report.num_rows)
            write(rows.batch.append_column("sample_id", pyarrow.array(ids, pyarrow.int64())))
            report += rows.report
            num_documents[block.path] += rows.report.num_documents
            bar.set_postfix(documents=report.num_documents, rows=report.num_rows, refresh=False)
    for path, number in num_documents.items():
        if number == 0:
            refuse_without_text(path)
    return report


def _progress_bar(files: list[Path]):
    from tqdm import tqdm

    total = sum(_num_bytes(path) for path in files)
    return tqdm(total=total, desc="tokenise", unit="B", unit_scale=True, disable=None, leave=False)


def _read_all(files: list[Path], column: str | None, bar) -> Iterator[Block]:
    for path in files:
        progress, num_bytes = 0.0, _num_bytes(path)
        for block in read_blocks(path, column, BLOCK_BYTES):
            yield block
            bar.update((block.progress - progress) * num_bytes)
            progress = block.progress


def _num_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*.arrow") if path.is_dir() else [path]))


def _key(make_rows: RowMaker, sources_hash: str, settings: TokeniseSettings, types: Sequence[str] | None) -> str:
    import tokenizers

    digest = hashlib.sha256()
    parts = asdict(replace(settings, annotators=())) | {
        "annotators": [annotator.key for annotator in settings.annotators],
        "num_processes": None,  # changes nothing in the rows
        "format": FORMAT,
        "tokenizers": tokenizers.__version__,
        "sources": sources_hash,
        "special_ids": make_rows.segmenter.special_ids.tolist(),
        "types": None if types is None else len(types),
    }
    digest.update(json.dumps(parts, sort_keys=True).encode())
    digest.update(make_rows.segmenter.backend.to_str().encode())
    digest.update("\n".join(types or ()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]
