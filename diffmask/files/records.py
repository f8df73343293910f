"""Rows of a table with all their columns: JSON lines, separated values, Parquet and datasets on disk."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from diffmask.core.errors import InputError
from diffmask.files.blocks import shown
from diffmask.files.lines import decode_lines, json_object, read_plain
from diffmask.files.streams import open_seekable, split_suffix
from diffmask.files.tables import delimiter, open_dataset

Row = Mapping[str, Any]


def read_records(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file (or of a folder that `save_to_disk` made) with their numbers, from 1.

    Raises:
        InputError: If the file is plain text, is damaged, or holds several splits.
    """
    if path.is_dir():
        return _read_dataset(path)
    suffix = split_suffix(path)[0]
    if suffix not in _READERS:
        raise InputError(f"{path} is plain text, which has no labels; give .jsonl, .csv, .tsv or .parquet")
    return _READERS[suffix](path)


def _read_json(path: Path) -> Iterator[tuple[int, Row]]:
    for block in read_plain(path):
        for number, line in enumerate(decode_lines(block), block.first):
            if line.strip():
                yield number, json_object(block, number, line)


def _read_csv(path: Path) -> Iterator[tuple[int, Row]]:
    content = "\n".join(line for block in read_plain(path) for line in decode_lines(block)).lstrip()
    csv.field_size_limit(sys.maxsize)  # the default refuses a text of more than 128 KiB
    separator = delimiter(path, content.split("\n", 1)[0])
    rows = csv.DictReader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    try:
        for number, row in enumerate(rows, 1):
            if None in row or None in row.values():
                remedy = "put quotes around a value that holds the separator"
                raise InputError(f"{path}: row {number} has another number of values than the header; {remedy}")
            yield number, row
    except csv.Error as error:
        raise InputError(f"{path} is not a table of values ({error}); check its quotes") from error


def _read_parquet(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow
    from pyarrow import parquet

    with open_seekable(path) as content:
        try:
            table = parquet.read_table(content)
            written = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
            names = _label_names(written.get("info", {}).get("features", {}))
            yield from ((number, _named(row, names)) for number, row in enumerate(table.to_pylist(), 1))
        except pyarrow.ArrowInvalid as error:
            raise InputError(f"{path} is not a Parquet file, or is damaged: {shown(str(error))}") from error


def _read_dataset(path: Path) -> Iterator[tuple[int, Row]]:
    found = open_dataset(path)
    names = _label_names(cast(Mapping[str, Any], found.features.to_dict()))
    yield from ((number, _named(cast(Row, row), names)) for number, row in enumerate(found, 1))


def _label_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the labels in each column that datasets declares as numbers of labels, alone or in lists."""
    # what a list holds stands under `feature`
    inner = {name: each.get("feature", each) for name, each in features.items() if isinstance(each, Mapping)}
    return {
        name: list(each["names"])
        for name, each in inner.items()
        if isinstance(each, Mapping) and each.get("_type") == "ClassLabel" and each.get("names")
    }


def _named(row: Row, names: Mapping[str, list[str]]) -> Row:
    """Return a row with the names of its labels."""
    return {**row, **{column: _name(row[column], known) for column, known in names.items()}} if names else row


def _name(value: Any, known: list[str]) -> Any:
    if isinstance(value, list):
        return [_name(each, known) for each in value]
    # datasets writes -1 for the label that nobody tells
    return known[value] if isinstance(value, int) and 0 <= value < len(known) else None


_READERS = {
    ".jsonl": _read_json,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}
