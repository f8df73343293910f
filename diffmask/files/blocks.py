"""Blocks: what a corpus is read in, so that memory does not grow with it and other processes can parse it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from diffmask.core.errors import InputError

TEXT_COLUMNS = ("text", "content", "sentence", "abstract", "body", "document", "passage", "article", "description")
"""Names that a text column is known by, first choice first."""
BLOCK_BYTES = 1 << 20
_SHOWN_CHARS = 60
_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of one source: whole lines that are still to be parsed, or texts."""

    path: str
    first: int
    """Number of its first line (or row), from 1."""
    progress: float
    """Share of the source that was read at its end."""
    data: bytes | list[str | None]
    offset: int = 0
    """Place of its first byte in the decompressed content."""
    column: str | None = None
    """Column of the JSON objects that the lines hold; None where a line is a text."""


class Text(NamedTuple):
    """A text and the number of its line or row in the source, from 1."""

    number: int
    text: str


def pack(
    path: Path, texts: Iterable[str | None], block_bytes: int, progress: Callable[[int], float]
) -> Iterator[Block]:
    """Gather texts into blocks; `progress` tells the share that is read after so many texts."""
    first, num_chars, batch = 1, 0, []
    for text in texts:
        batch.append(text)
        # an empty text is not free: a column of nothing but nulls must not gather without end
        num_chars += len(text or "") + 1
        if num_chars >= block_bytes:
            yield Block(str(path), first, progress(first + len(batch) - 1), batch)
            first, num_chars, batch = first + len(batch), 0, []
    yield Block(str(path), first, 1.0, batch)


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
    # encoded for the terminal: what is wrong with a text may be that it cannot be printed
    start = text[:_SHOWN_CHARS].encode("utf-8", "backslashreplace").decode("utf-8")
    return " ".join(start.split()) + ("..." if len(text) > _SHOWN_CHARS else "")
