"""Files of rows: separated values, Parquet, JSON lines, and Hugging Face datasets on disk.

`read_blocks` reads one column of a corpus, plain text included; `read_records` reads rows with all their columns.
"""

import csv
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from diffmask.core.errors import InputError
from diffmask.files.blocks import BLOCK_BYTES, Block, choose_column, listed, shown
from diffmask.files.streams import ByteStream, open_seekable, split_suffix

if TYPE_CHECKING:
    import datasets

_BATCH_ROWS = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _plain_blocks(path: Path, _column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read blocks of whole lines as bytes, which are decoded when the block is parsed."""
    rest: list[bytes] = []
    first = 1
    with ByteStream(path) as stream:
        head = stream.head()
        chunk = head.removeprefix(_BYTE_ORDER_MARK)
        offset = len(head) - len(chunk)
        while chunk:
            end = chunk.rfind(b"\n") + 1
            if end:
                data = b"".join([*rest, chunk[:end]])
                yield Block(str(path), first, stream.progress, data, offset)
                first, offset, rest = first + data.count(b"\n"), offset + len(data), []
            rest.append(chunk[end:])
            chunk = stream.read(block_bytes)
    yield Block(str(path), first, 1.0, b"".join(rest), offset)


def _json_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read blocks of JSON lines; the first object tells which column holds the text."""
    known = None
    for block in _plain_blocks(path, None, block_bytes):
        if known is None:
            known = _first_column(block, column)
        yield replace(block, column=known or "")


def _first_column(block: Block, wanted: str | None) -> str | None:
    for number, line in enumerate(block.lines(), block.first):
        if line.strip():
            row = block.parse_object(number, line)
            # null may be a missing text
            text_names = [name for name in row if row[name] is None or isinstance(row[name], str)]
            return choose_column(block.path, list(row), text_names, wanted)
    return None


def _csv_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read comma-, semicolon- or tab-separated values with a header; a quoted field may span lines."""
    progress = 0.0

    def lines() -> Iterator[str]:
        nonlocal progress
        for block in _plain_blocks(path):
            progress = block.progress
            yield from io.StringIO("\n".join(block.lines()), newline="")

    csv.field_size_limit(sys.maxsize)  # the default refuses a document of more than 128 KiB
    source = lines()
    start = list(_until_written(source))
    rows = csv.reader(itertools.chain(start, source), delimiter=_delimiter(path, "".join(start)), strict=True)
    try:
        header = next(filter(_is_written, rows), [])
        if header:
            place = header.index(choose_column(path, header, header, column))
            texts = (_field(path, row, place, header, rows.line_num) for row in rows)
            yield from _pack(path, texts, block_bytes, lambda _: progress)
    except csv.Error as error:
        raise InputError(f"{path}: line {rows.line_num} is not a row of values ({error}); check its quotes") from error


def _delimiter(path: Path, header: str) -> str:
    """Return the separator of a file, by its name or its header."""
    if split_suffix(path)[0] == ".tsv":
        return "\t"
    return next((char for char in ",;\t" if char in header), ",")


def _field(path: Path, row: list[str], place: int, header: list[str], line: int) -> str:
    if not _is_written(row):
        return ""
    if len(row) != len(header):
        remedy = "put quotes around a value that holds the separator"
        raise InputError(f"{path}: line {line} has {len(row)} values, the header has {len(header)}; {remedy}")
    return row[place]


def _is_written(row: list[str]) -> bool:
    return any(value.strip() for value in row)


def _until_written(lines: Iterator[str]) -> Iterator[str]:
    """Yield the blank lines at the start, and the first line that is not blank."""
    for line in lines:
        yield line
        if line.strip():
            return


def _parquet_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read one column of a Parquet file, a few rows at a time."""
    import pyarrow
    from pyarrow import parquet

    with open_seekable(path) as content:
        try:
            table = parquet.ParquetFile(content, buffer_size=1 << 20)
            known = _text_column(path, table.schema_arrow, column)
            batches = table.iter_batches(_BATCH_ROWS, columns=[known])
            texts = (text for batch in batches for text in batch.column(0).to_pylist())
            num_rows = max(1, table.metadata.num_rows)
            yield from _pack(path, texts, block_bytes, lambda num_texts: num_texts / num_rows)
        except (pyarrow.ArrowInvalid, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a Parquet file, or is damaged: {shown(str(error))}") from error


def _text_column(path: Path, schema, wanted: str | None) -> str:
    """Return the text column of an Arrow schema."""
    from pyarrow import types

    def is_text(kind) -> bool:
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    text_names = [field.name for field in schema if is_text(field.type)]
    known = choose_column(path, schema.names, text_names, wanted)
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
    texts = (text for batch in batches for text in batch[known].to_pylist())
    yield from _pack(path, texts, block_bytes, lambda num_texts: num_texts / max(1, len(dataset)))


def _pack(
    path: Path, texts: Iterable[str | None], block_bytes: int, progress: Callable[[int], float]
) -> Iterator[Block]:
    """Gather texts into blocks; `progress` returns the share of the source that a number of texts makes."""
    first, num_chars, batch = 1, 0, []
    for text in texts:
        batch.append(text)
        # + 1, since empty texts take memory too: a column of nulls must not become one block
        num_chars += len(text or "") + 1
        if num_chars >= block_bytes:
            yield Block(str(path), first, progress(first + len(batch) - 1), batch)
            first, num_chars, batch = first + len(batch), 0, []
    yield Block(str(path), first, 1.0, batch)


READERS = {
    ".txt": _plain_blocks,
    ".jsonl": _json_blocks,
    ".json": _json_blocks,
    ".csv": _csv_blocks,
    ".tsv": _csv_blocks,
    ".parquet": _parquet_blocks,
}
"""Readers of one column, by the suffix of a file."""


def read_blocks(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read one column of a file, or of a folder that `save_to_disk` made, in blocks of about `block_bytes`."""
    reader = _dataset_blocks if path.is_dir() else READERS[split_suffix(path)[0]]
    return reader(path, column, block_bytes)


Row = Mapping[str, Any]


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


def _read_csv(path: Path) -> Iterator[tuple[int, Row]]:
    content = "\n".join(line for block in _plain_blocks(path) for line in block.lines()).lstrip()
    csv.field_size_limit(sys.maxsize)  # the default refuses a text of more than 128 KiB
    separator = _delimiter(path, content.split("\n", 1)[0])
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
    found = _open_dataset(path)
    names = _label_names(cast(Mapping[str, Any], found.features.to_dict()))
    yield from ((number, _named(cast(Row, row), names)) for number, row in enumerate(found, 1))


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
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}
