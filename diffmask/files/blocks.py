"""Blocks, the pieces in which a corpus is read: memory does not grow with it, and other processes can parse them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from diffmask.core.errors import InputError
from diffmask.files.streams import ByteStream

TEXT_COLUMNS = ("text", "content", "sentence", "abstract", "body", "document", "passage", "article", "description")
"""Names by which a text column is recognised, best first."""
BLOCK_BYTES = 1 << 20
MOST_BYTES = 32 << 20
"""Most bytes of one document, or of one row of a table: what is made of it in memory is many times as large."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN_CHARS = 60
_SHOWN_NAMES = 20


class _Text(NamedTuple):
    """A text and the number of its line or row in the source, from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of one source: whole lines, not yet parsed, or texts."""

    path: str
    first: int
    """Number of its first line (or row), from 1."""
    progress: float
    """Share of the source that has been read at its end."""
    data: bytes | list[str | None]
    offset: int = 0
    """Place of its first byte in the decompressed content."""
    column: str | None = None
    """Column that the texts stand in; None where lines are texts."""
    num_rows: int = 0
    """Rows that have this column, with and without a text in it."""

    def texts(self) -> Iterator[_Text]:
        """Yield the texts of the block, without blank ones.

        Raises:
            InputError: If a line cannot be read.
        """
        for number, line in enumerate(self.data if isinstance(self.data, list) else self.lines(), self.first):
            text = line.strip() if line else ""
            if text and self.column is not None and isinstance(self.data, bytes):
                text = _json_text(self, number, text)
            if text:
                yield _Text(number, text)

    def lines(self) -> list[str]:
        """Return the lines of a block of bytes, without line breaks."""
        assert isinstance(self.data, bytes)
        try:
            return self.data.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            line = self.first + self.data.count(b"\n", 0, error.start)
            place = f"byte {self.offset + error.start} is 0x{self.data[error.start]:02x}"
            remedy = "convert the file, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW"
            raise InputError(f"{self.path}: line {line} is not UTF-8 ({place}); {remedy}") from error

    def parse_object(self, number: int, line: str) -> dict:
        """Return the JSON object in a line of the block."""
        where = f"{self.path}: line {number}"
        if line.lstrip().startswith("["):
            remedy = f"for example: jq -c '.[]' {self.path} > NEW.jsonl"
            raise InputError(f"{where} begins a JSON array; write one object per line, {remedy}")
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = "nested too deep" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
            raise InputError(
                f"{where} is not valid JSON ({reason}); write one object per line: {shown(line)}"
            ) from error
        if not isinstance(row, dict):
            raise InputError(f'{where} is not a JSON object such as {{"text": "..."}}: {shown(line)}')
        return row


def line_blocks(stream: ByteStream, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read blocks of whole lines as bytes, which are decoded when the block is parsed.

    Raises:
        InputError: If the content is not text, or a line is longer than `MOST_BYTES`.
    """
    rest: list[bytes] = []
    first, num_rest = 1, 0
    head = stream.head()
    chunk = head.removeprefix(BYTE_ORDER_MARK)
    offset = len(head) - len(chunk)
    while chunk:
        end = chunk.rfind(b"\n") + 1
        if end:
            data = b"".join([*rest, chunk[:end]])
            yield Block(str(stream.path), first, stream.progress, data, offset)
            first, offset, rest, num_rest = first + data.count(b"\n"), offset + len(data), [], 0
        rest.append(chunk[end:])
        num_rest += len(chunk) - end
        if num_rest > MOST_BYTES:
            raise too_long(f"{stream.path}: line {first}")
        chunk = stream.read(block_bytes)
    yield Block(str(stream.path), first, 1.0, b"".join(rest), offset)


def too_long(where: str) -> InputError:
    """Return the error of a document that is longer than `MOST_BYTES`."""
    remedy = "divide it into several, for example: fold -s -w 100000 OLD > NEW"
    return InputError(f"{where} is longer than {MOST_BYTES >> 20} MB, the most that one document may have; {remedy}")


def _json_text(block: Block, number: int, line: str) -> str:
    row = block.parse_object(number, line)
    where = f"{block.path}: line {number}"
    if block.column not in row:
        raise InputError(f"{where} has no column {block.column!r}; its columns: {listed(row)}")
    text = row[block.column]
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InputError(f"{where}: column {block.column!r} must hold text, not {kind_of(text)}: {shown(line)}")
    if "\\u" in line:
        _refuse_half_characters(where, text)
    return text.strip()


def _refuse_half_characters(where: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"half a character, \\u{ord(text[error.start]):04x} without its pair"
        raise InputError(f"{where} holds {half}; repair or drop the line") from error


NUMBER = "a number"
_KINDS = {list: "a list", dict: "nested values", bool: "true or false", int: NUMBER, float: NUMBER}
_ONE_TEXT = "join its parts into one text, or give each a row"


def kind_of(value: object) -> str:
    """Return what a value of JSON is that should be a text, and what to do where it is several."""
    kind = _KINDS.get(type(value), type(value).__name__)
    return f"{kind} ({_ONE_TEXT})" if isinstance(value, list | dict) else kind


def choose_column(
    path: Path | str,
    names: Sequence[str],
    text_names: Sequence[str],
    wanted: str | None,
    others: Mapping[str, str] | None = None,
) -> str:
    """Return the column to read: the wanted one, a well-known name among the text columns, or the only text column.

    Args:
        path: The file, for messages.
        names: All its columns.
        text_names: Those that hold text.
        wanted: The column that was named; white space around it and capitals make no other.
        others: What columns hold that might have been of text, for messages: lists, nested values, numbers.

    Raises:
        InputError: If there is no such column, or which one to read is not clear.
    """
    if wanted is not None:
        alike = [name for name in names if name.strip().lower() == wanted.strip().lower()]
        known = wanted if wanted in names else alike[0] if len(alike) == 1 else None
        if known is None:
            raise InputError(f"{path} has no column {wanted!r}; its columns: {listed(names)}")
        return _only(path, names, known)
    by_lower = {name.strip().lower(): name for name in reversed(text_names)}
    known = next((by_lower[name] for name in TEXT_COLUMNS if name in by_lower), None)
    if known is None and len(text_names) == 1:
        known = text_names[0]
    if known is None and not text_names:
        columns = listed(f"{name} ({others[name]})" if others and name in others else name for name in names)
        remedy = f"; {_ONE_TEXT}" if set((others or {}).values()) - {NUMBER} else ""
        raise InputError(f"{path} has no column of text; its columns: {columns}{remedy}")
    if known is None:
        raise InputError(f"{path} has several columns of text; name the one to read, one of: {listed(text_names)}")
    return _only(path, names, known)


def _only(path: Path | str, names: Sequence[str], known: str) -> str:
    if list(names).count(known) > 1:
        raise InputError(f"{path} has {list(names).count(known)} columns named {known!r}; rename all but one")
    return known


def listed(names: Iterable[str]) -> str:
    """Return names for a message, the first few, each kept short."""
    names = [shown(name) for name in names]
    more = f", and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return (", ".join(names[:_SHOWN_NAMES]) or "none") + more


def shown(text: str) -> str:
    """Return the start of a text for a message, on one line."""
    text = text.strip()
    # a text may be refused because it cannot be printed: the message must be able to show it all the same
    start = text[:_SHOWN_CHARS].encode("utf-8", "backslashreplace").decode("utf-8")
    return " ".join(start.split()) + ("..." if len(text) > _SHOWN_CHARS else "")
