"""Corpus files of lines: plain text, where a line is a document, and JSON lines, where an object is."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.blocks import BLOCK_BYTES, Block, Text, choose_column, listed, shown
from diffmask.files.streams import ByteStream, read_head

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_plain(path: Path, _column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read whole lines of bytes; they are decoded when the block is parsed."""
    rest: list[bytes] = []
    first = 1
    with ByteStream(path) as stream:
        head = read_head(stream)
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


def read_json(path: Path, column: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read JSON lines; the first object says which column holds the text."""
    known = None
    for block in read_plain(path, None, block_bytes):
        if known is None:
            known = _first_column(block, column)
        yield replace(block, column=known or "")


def parse_block(block: Block) -> Iterator[Text]:
    """Return the texts of a block; blank ones are left out."""
    lines = block.data if isinstance(block.data, list) else decode_lines(block)
    for number, line in enumerate(lines, block.first):
        text = line.strip() if line else ""
        if text and block.column is not None:
            text = _json_text(block, number, text)
        if text:
            yield Text(number, text)


def decode_lines(block: Block) -> list[str]:
    """Return the lines of a block without their ends."""
    assert isinstance(block.data, bytes)
    try:
        return block.data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = block.first + block.data.count(b"\n", 0, error.start)
        place = f"byte {block.offset + error.start} is 0x{block.data[error.start]:02x}"
        remedy = "convert the file, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW"
        raise InputError(f"{block.path}: line {line} is not UTF-8 ({place}); {remedy}") from error


def _first_column(block: Block, wanted: str | None) -> str | None:
    for number, line in enumerate(decode_lines(block), block.first):
        if line.strip():
            row = json_object(block, number, line)
            # null may stand for a text that is missing
            text_names = [name for name in row if row[name] is None or isinstance(row[name], str)]
            return choose_column(block.path, list(row), text_names, wanted)
    return None


def json_object(block: Block, number: int, line: str) -> dict:
    """Return the object that a line of a block holds."""
    where = f"{block.path}: line {number}"
    if line.lstrip().startswith("["):
        remedy = f"for example: jq -c '.[]' {block.path} > NEW.jsonl"
        raise InputError(f"{where} begins a JSON array; write one object per line, {remedy}")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
        raise InputError(f"{where} is not valid JSON ({reason}); write one object per line: {shown(line)}") from error
    if not isinstance(row, dict):
        raise InputError(f'{where} is not a JSON object such as {{"text": "..."}}: {shown(line)}')
    return row


def _json_text(block: Block, number: int, line: str) -> str:
    row = json_object(block, number, line)
    where = f"{block.path}: line {number}"
    if block.column not in row:
        raise InputError(f"{where} has no column {block.column!r}; its columns: {listed(row)}")
    text = row[block.column]
    if text is None:
        return ""
    if not isinstance(text, str):
        kind = type(text).__name__
        raise InputError(f"{where}: column {block.column!r} must hold text, not {kind}: {shown(line)}")
    if "\\u" in line:
        _refuse_half_characters(where, text)
    return text.strip()


def _refuse_half_characters(where: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"half a character, \\u{ord(text[error.start]):04x} without its pair"
        raise InputError(f"{where} holds {half}; repair or drop the line") from error
