"""A file of counts of n-grams: Parquet, columns ngram and count, with how they were counted in its metadata."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmask.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow

_METADATA_KEY = b"diffmask.ngrams"


@contextmanager
def open_counts(path: Path | None, record: dict[str, Any]) -> Iterator[Callable[["pyarrow.Table"], None]]:
    """Give a function that writes a table to a counts file, which is there when all is written; no path, no file."""
    import pyarrow
    from pyarrow import parquet

    if path is None:
        yield lambda table: None
        return
    schema = pyarrow.schema(
        [("ngram", pyarrow.string()), ("count", pyarrow.int64())], metadata={_METADATA_KEY: json.dumps(record)}
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with parquet.ParquetWriter(partial, schema, compression="zstd", use_dictionary=False) as writer:
            yield lambda table: writer.write_table(table.replace_schema_metadata(schema.metadata))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_record(path: Path, max_n: int) -> dict[str, Any]:
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
