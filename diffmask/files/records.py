"""Files of rows: separated values, Parquet, JSON lines, and Hugging Face datasets on disk.

`read_blocks` reads one column of a corpus, plain text included; `read_records` reads rows with all their columns.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from diffmask.core.errors import InputError, first_line
from diffmask.files.blocks import (
    BLOCK_BYTES,
    BYTE_ORDER_MARK,
    MOST_BYTES,
    NUMBER,
    TEXT_COLUMNS,
    Block,
    choose_column,
    line_blocks,
    listed,
    shown,
    too_long,
)
from diffmask.files.streams import ByteStream, open_seekable, split_suffix
from diffmask.files.tables import Table

if TYPE_CHECKING:
    import datasets
    import pyarrow
    from pyarrow import parquet

_BATCH_ROWS = 256


def _plain_blocks(path: Path, _column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    with ByteStream(path) as stream:
        yield from line_blocks(stream, block_bytes)


def _json_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read blocks of JSON lines; the first object tells which column holds the text."""
    known = None
    for block in _plain_blocks(path, None, block_bytes):
        if known is None:
            known = _first_column(block, column)
        assert isinstance(block.data, bytes)
        yield replace(block, column=known or "", num_rows=sum(bool(line.strip()) for line in block.data.split(b"\n")))


def _first_column(block: Block, wanted: str | None) -> str | None:
    for number, line in enumerate(block.lines(), block.first):
        if line.strip():
            row = block.parse_object(number, line)
            # null may be a missing text
            text_names = [name for name in row if row[name] is None or isinstance(row[name], str)]
            others = {name: "a list" for name in row if isinstance(row[name], list)}
            others |= {name: "nested values" for name in row if isinstance(row[name], dict)}
            others |= {name: NUMBER for name in row if name in TEXT_COLUMNS and isinstance(row[name], int | float)}
            return choose_column(block.path, list(row), text_names, wanted, others)
    return None


def _table_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read one column of a table of separated values."""
    num_blank = 0

    def texts(table: Table, place: int) -> Iterator[str]:
        nonlocal num_blank
        for _, values in table.full_rows():
            num_blank += not values
            yield values[place] if values else ""

    with Table(path) as table:
        if not table.header:
            return
        known = choose_column(path, table.header, table.header, column)
        rows = texts(table, table.header.index(known))
        for block in _pack(path, known, rows, block_bytes, lambda _: table.progress):
            yield replace(block, num_rows=block.num_rows - num_blank)
            num_blank = 0


def _parquet_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read one column of a Parquet file, a few rows at a time."""
    with _open_parquet(path) as table:
        known = _text_column(path, table.schema_arrow, column)
        texts = (text for batch in _batches(path, table, [known]) for text in _texts(batch.column(0)))
        num_rows = max(1, table.metadata.num_rows)
        yield from _pack(path, known, texts, block_bytes, lambda num_texts: num_texts / num_rows)


@contextmanager
def _open_parquet(path: Path) -> "Iterator[parquet.ParquetFile]":
    """Open a Parquet file; what is wrong with it is one sentence."""
    import pyarrow
    from pyarrow import parquet

    with open_seekable(path) as content:
        try:
            yield parquet.ParquetFile(content, buffer_size=1 << 20)
        except (pyarrow.ArrowInvalid, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a Parquet file, or is damaged: {shown(str(error))}") from error


def _batches(
    path: Path, table: "parquet.ParquetFile", columns: list[str] | None = None
) -> "Iterator[pyarrow.RecordBatch]":
    """Yield rows, a few at a time: fewer where they are large."""
    first = 1
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        parts = [group.column(place) for place in range(group.num_columns)]
        num_bytes = sum(part.total_uncompressed_size for part in parts if columns in (None, [part.path_in_schema]))
        if num_bytes > MOST_BYTES * max(1, group.num_rows):
            raise too_long(f"{path}: one of the rows {first} to {first + group.num_rows - 1}")
        size = MOST_BYTES * group.num_rows // max(1, num_bytes)
        yield from table.iter_batches(min(max(1, size), _BATCH_ROWS), row_groups=[number], columns=columns)
        first += group.num_rows


def _texts(values: "pyarrow.Array | pyarrow.ChunkedArray") -> Iterable[str | None]:
    """Return values as texts, one after the other if they are large together."""
    return values.to_pylist() if values.nbytes <= MOST_BYTES else (value.as_py() for value in values)


def _text_column(path: Path, schema: "pyarrow.Schema", wanted: str | None) -> str:
    """Return the text column of an Arrow schema."""
    from pyarrow import types

    def is_text(kind: "pyarrow.DataType") -> bool:
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    text_names = [field.name for field in schema if is_text(field.type)]
    others = {field.name: shown(str(field.type)) for field in schema if types.is_nested(field.type)}
    known = choose_column(path, schema.names, text_names, wanted, others)
    if known not in text_names:
        kind = schema.field(known).type
        raise InputError(f"{path}: column {known!r} must hold text, not {kind}; its text columns: {listed(text_names)}")
    return known


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder was made by `save_to_disk` of Hugging Face datasets."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def _open_dataset(path: Path) -> "datasets.Dataset":
    """Open a folder that `save_to_disk` made; refuse one that is damaged or holds several splits."""
    import datasets

    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a readable dataset folder: {shown(str(error))}") from error
    if isinstance(found, datasets.DatasetDict):
        names = sorted(map(str, found))
        raise InputError(f"{path} holds the splits {listed(names)}; name one of them, for example {path / names[0]}")
    return found


def _dataset_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read one column of a Hugging Face dataset on disk, a few rows at a time."""
    dataset = _open_dataset(path)
    known = _text_column(path, dataset.features.arrow_schema, column)
    batches = cast(Iterator[Any], dataset.select_columns(known).with_format("arrow").iter(_BATCH_ROWS))
    texts = (text for batch in batches for text in _texts(batch[known]))
    yield from _pack(path, known, texts, block_bytes, lambda num_texts: num_texts / max(1, len(dataset)))


def _pack(
    path: Path, column: str, texts: Iterable[str | None], block_bytes: int, progress: Callable[[int], float]
) -> Iterator[Block]:
    """Gather texts into blocks; `progress` returns the share of the source that a number of texts makes."""
    first, num_chars, batch = 1, 0, []
    for text in texts:
        batch.append(text)
        if text and len(text) > MOST_BYTES:
            raise too_long(f"{path}: row {first + len(batch) - 1}")
        # + 1, since empty texts take memory too: a column of nulls must not become one block
        num_chars += len(text or "") + 1
        if num_chars >= block_bytes:
            share = progress(first + len(batch) - 1)
            yield Block(str(path), first, share, batch, column=column, num_rows=len(batch))
            first, num_chars, batch = first + len(batch), 0, []
    yield Block(str(path), first, 1.0, batch, column=column, num_rows=len(batch))


READERS = {
    ".txt": _plain_blocks,
    ".jsonl": _json_blocks,
    ".json": _json_blocks,
    ".csv": _table_blocks,
    ".tsv": _table_blocks,
    ".parquet": _parquet_blocks,
}
"""Readers of one column, by the suffix of a file."""


def read_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read one column of a file, or of a folder that `save_to_disk` made, in blocks of about `block_bytes`."""
    reader = _dataset_blocks if path.is_dir() else READERS[split_suffix(path)[0]]
    return reader(path, column, block_bytes)


Row = Mapping[str, Any]


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text, decompressed and without a byte order mark."""
    for block in _plain_blocks(path):
        yield from block.lines()


def read_records(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file, or of a folder that `save_to_disk` made, with their numbers from 1.

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
    for block in _plain_blocks(path):
        for number, line in enumerate(block.lines(), block.first):
            if line.strip():
                yield number, block.parse_object(number, line)


def _read_json_list(path: Path) -> Iterator[tuple[int, Row]]:
    """Read a .json: one list of objects, or JSON lines."""
    with ByteStream(path) as stream:
        parts = [stream.head().removeprefix(BYTE_ORDER_MARK)]
        if not parts[0].lstrip().startswith(b"["):
            yield from _read_json(path)
            return
        while part := stream.read(BLOCK_BYTES):
            parts.append(part)
    try:
        rows = json.loads(b"".join(parts).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a byte that is not UTF-8 is one too
        raise InputError(f"{path} begins a list and is not valid JSON ({first_line(error)}); write it again") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"{path}: entry {number} is not a JSON object: {shown(str(row))}; give one for each row")
        yield number, row


def _read_table(path: Path) -> Iterator[tuple[int, Row]]:
    with Table(path) as table:
        names = table.header
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{path} has {names.count(twice)} columns named {twice!r}; rename all but one")
        rows = (values for _, values in table.full_rows() if values)
        yield from ((number, dict(zip(names, values, strict=True))) for number, values in enumerate(rows, 1))


def _read_parquet(path: Path) -> Iterator[tuple[int, Row]]:
    with _open_parquet(path) as table:
        written = json.loads((table.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        names = _label_names(written.get("info", {}).get("features", {}))
        rows = (row for batch in _batches(path, table) for row in batch.to_pylist())
        yield from ((number, _named(_not_too_long(path, number, row), names)) for number, row in enumerate(rows, 1))


def _read_dataset(path: Path) -> Iterator[tuple[int, Row]]:
    found = _open_dataset(path)
    names = _label_names(cast(Mapping[str, Any], found.features.to_dict()))
    rows = cast(Iterable[Row], found)
    yield from ((number, _named(_not_too_long(path, number, row), names)) for number, row in enumerate(rows, 1))


def _not_too_long(path: Path, number: int, row: Row) -> Row:
    if any(isinstance(value, str) and len(value) > MOST_BYTES for value in row.values()):
        raise too_long(f"{path}: row {number}")
    return row


def _label_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of labels by column, for columns that hold numbers of labels, or lists of them."""
    # the feature of a list is nested under `feature`
    inner = {name: each.get("feature", each) for name, each in features.items() if isinstance(each, Mapping)}
    return {
        name: list(each["names"])
        for name, each in inner.items()
        if isinstance(each, Mapping) and each.get("_type") == "ClassLabel" and each.get("names")
    }


def _named(row: Row, names: Mapping[str, list[str]]) -> Row:
    """Return a row with the names of labels instead of their numbers."""
    return {**row, **{column: _name(row[column], known) for column, known in names.items()}} if names else row


def _name(value: Any, known: list[str]) -> Any:
    if isinstance(value, list):
        return [_name(each, known) for each in value]
    # datasets writes -1 for an unknown label
    return known[value] if isinstance(value, int) and 0 <= value < len(known) else None


_READERS = {
    ".jsonl": _read_json,
    ".json": _read_json_list,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".parquet": _read_parquet,
}
