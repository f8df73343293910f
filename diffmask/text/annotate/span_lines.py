"""Lines of a span file: one annotated document each, in the spellings of the common annotation tools.

    {"text": "Rats slept.", "spans": [{"start": 0, "end": 4, "label": "NOUN"}]}      Prodigy, spaCy
    {"text": "Rats slept.", "spans": [[0, 4, "NOUN"]]}                                triples
    {"text": "Rats slept.", "label": [[0, 4, "NOUN"]]}                                doccano
    {"text": "Rats slept.", "entities": [{"start_offset": 0, "end_offset": 4, "label": "NOUN"}]}   doccano, relations
    ["Rats slept.", {"entities": [[0, 4, "NOUN"]]}]                                   spaCy's training examples

Offsets count characters (code points) from 0, and the end is not in the span.
"""

import json
from typing import Any, NamedTuple

from diffmask.core.errors import InputError
from diffmask.files.blocks import shown

TEXT_KEYS = ("text", "data")
SPAN_KEYS = ("spans", "entities", "label", "labels")
START_KEYS, END_KEYS, LABEL_KEYS = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels")
_EXAMPLE = '{"text": "Rats slept.", "spans": [{"start": 0, "end": 4, "label": "NOUN"}]}'


class Annotated(NamedTuple):
    """A text without white space around it, and its spans."""

    text: str
    spans: list[tuple[int, int, str]]


def parse_line(where: str, line: bytes) -> Annotated | None:
    """Return the document of a line; None for a blank one, and for one that Prodigy's user did not accept.

    Args:
        where: File and line, for messages.
        line: Its bytes.

    Raises:
        InputError: The line is not such an object, or a span is not in its text.
    """
    if not line.strip():
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "no valid JSON"
        seen = shown(line.decode("utf-8", "replace"))
        raise InputError(f"{where} is {reason}; write one object per line, such as {_EXAMPLE}: {seen}") from error
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict):
        row = {"text": row[0], **row[1]}
    if not isinstance(row, dict):
        raise InputError(f"{where} is no annotated document; write one object per line, such as {_EXAMPLE}")
    if row.get("answer", "accept") != "accept":
        return None
    text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)
    if text is None:
        raise InputError(f"{where} has no text; write one object per line, such as {_EXAMPLE}")
    lists = {key: row[key] for key in SPAN_KEYS if isinstance(row.get(key), list)}
    if len(lists) != 1:
        found = f"spans under {' and '.join(map(repr, lists))}" if lists else "no list of spans"
        raise InputError(f"{where} has {found}; write one object per line, such as {_EXAMPLE}")
    spans = [
        _span(f"{where}: span {number}", text, entry) for number, entry in enumerate(next(iter(lists.values())), 1)
    ]
    return _stripped(text, spans)


def _span(where: str, text: str, entry: Any) -> tuple[int, int, str]:
    start, stop, label = _parts(entry)
    # one name in a list is how Label Studio writes it
    label = label[0] if isinstance(label, list) and len(label) == 1 else label
    if type(start) is not int or type(stop) is not int or not isinstance(label, str) or not label:
        given = shown(json.dumps(entry, ensure_ascii=False))
        raise InputError(f'{where} is not a start, an end and a label, such as [0, 4, "NOUN"]: {given}')
    if not 0 <= start < stop <= len(text):
        raise InputError(
            f"{where} ({start} to {stop}, {label!r}) is not in its text of {len(text)} characters; offsets count "
            "characters, not bytes, from 0, and the end lies behind the span"
        )
    return start, stop, label


def _parts(entry: Any) -> tuple[Any, Any, Any]:
    if isinstance(entry, list) and len(entry) == 3:
        return entry[0], entry[1], entry[2]
    if not isinstance(entry, dict):
        return None, None, None
    keys = (START_KEYS, END_KEYS, LABEL_KEYS)
    start, stop, label = (next((entry[key] for key in names if key in entry), None) for names in keys)
    return start, stop, label


def _stripped(text: str, spans: list[tuple[int, int, str]]) -> Annotated:
    """Leave out white space around a text, as the readers of a corpus do."""
    shift = len(text) - len(text.lstrip())
    text = text.strip()
    moved = [(max(start - shift, 0), min(stop - shift, len(text)), label) for start, stop, label in spans]
    return Annotated(text, [span for span in moved if span[0] < span[1]])
