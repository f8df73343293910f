"""Blocks, the pieces in which a corpus is read: memory does not grow with it, and other processes can parse them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from diffmask.core.errors import InputError

TEXT_COLUMNS = ("text", "content", "sentence", "abstract", "body", "document", "passage", "article", "description")
"""Names by which a text column is recognised, best first."""
BLOCK_BYTES = 1 << 20
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
    """Column of the JSON objects in the lines; None if each line is a text."""

    def texts(self) -> Iterator[_Text]:
        """Yield the texts of the block, without blank ones.

        Raises:
            InputError: If a line cannot be read.
        """
        for number, line in enumerate(self.data if isinstance(self.data, list) else self.lines(), self.first):
            text = line.strip() if line else ""
            if text and self.column is not None:
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


def _json_text(block: Block, number: int, line: str) -> str:
    row = block.parse_object(number, line)
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


def choose_column(path: Path | str, names: Sequence[str], text_names: Sequence[str], wanted: str | None) -> str:
    """Return the column to read: the wanted one, a well-known name among the text columns, or the only text column."""
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"{path} has no column {wanted!r}; its columns: {listed(names)}")
        return wanted
    by_lower = {name.strip().lower(): name for name in reversed(text_names)}
    known = next((by_lower[name] for name in TEXT_COLUMNS if name in by_lower), None)
    if known is None and len(text_names) == 1:
        known = text_names[0]
    if known is None and not text_names:
        raise InputError(f"{path} has no column of text; its columns: {listed(names)}")
    if known is None:
        raise InputError(f"{path} has several columns of text; name the one to read, one of: {listed(text_names)}")
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
