"""Rows of the tables that name clips: those with a header, and the lists without one that video projects train from.

VideoMAE, V-JEPA and MMAction read lines of `path label`, of `path num_frames label` (folders of frames), or of a path
alone; UCF101 and VGGSound come as such lists. Their paths may hold what divides the columns.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.files.blocks import shown
from diffmask.files.records import Row, read_lines, read_records
from diffmask.files.splits import SPLIT_NAMES, splits_named
from diffmask.files.streams import split_suffix
from diffmask.video.clip.clip import VIDEO_SUFFIXES

LIST_SUFFIXES = (".txt", ".lst", ".list")
"""Suffixes of lists that never have a header."""
_TABLE_SUFFIXES = (".csv", ".tsv")
_SEPARATORS = "\t;, "
_NUM_TRIED = 200
"""Lines by which the separator is found."""
_UNKNOWN = "-1"
"""What stands for a label that nobody knows."""


class NoListError(InputError):
    """A text whose lines name no clips."""


@dataclass(frozen=True)
class Manifest:
    """Rows that name clips, with their numbers from 1."""

    rows: list[tuple[int, Row]]
    said: str = ""
    """How a list without a header was read; "" of a table that names its columns."""


def read_manifest(path: Path, knows: Callable[[str], bool], is_column_of_clips: Callable[[str], bool]) -> Manifest:
    """Read a table, or a list without a header.

    Args:
        path: .csv, .tsv, .jsonl, .parquet, .txt, ...
        knows: Tells whether a text is the name of a clip.
        is_column_of_clips: Tells whether a column of this name may hold names of clips.

    Raises:
        NoListError: If it is a text whose lines name no clips.
        InputError: If it cannot be read.
    """
    suffix = split_suffix(path)[0]
    if suffix not in (*_TABLE_SUFFIXES, *LIST_SUFFIXES):
        return Manifest(list(read_records(path)))
    lines = [line for line in map(str.rstrip, read_lines(path)) if line.strip()]
    if lines and lines[0].startswith("#"):
        return _with_header_in_comments(path, lines, is_column_of_clips)
    header = lines[0] if lines else ""
    names = [cell for separator in _SEPARATORS[:-1] for cell in _cells(header, separator)]
    if suffix in _TABLE_SUFFIXES and any(map(is_column_of_clips, names)):
        return Manifest(list(read_records(path)))
    listed = _read_list(lines, knows)
    if listed is None and suffix in _TABLE_SUFFIXES:
        return Manifest(list(read_records(path)))
    if listed is None:
        first = f"no line begins with the name of one; its first line: {shown(header)!r}"
        raise NoListError(f"{path} is no list of clips: {first}")
    columns, rows, num_left_out = listed
    more = f", {num_left_out} more left out" if num_left_out else ""
    said = f"a list without a header, read as {', '.join(columns)}{more}"
    if "split" not in columns and (splits := splits_named(path)):
        columns, rows = [*columns, "split"], [[*row, splits[0]] for row in rows]
        said += f", its split by the name {path.name}"
    return Manifest([(number, dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, 1)], said)


def _cells(line: str, separator: str) -> list[str]:
    """Return the values of a line; a quotation mark counts at the start of a value only."""
    cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def _with_header_in_comments(path: Path, lines: list[str], is_column: Callable[[str], bool]) -> Manifest:
    """Read comma-separated values whose columns the last comment names, as AudioSet's are."""
    comments = [_cells(line.lstrip("# "), ",") for line in lines if line.startswith("#")]
    header = next((cells for cells in reversed(comments) if any(map(is_column, cells))), None)
    if header is None:
        raise InputError(f"{path}: none of its lines that begin with # names a column of clips; begin with a header")
    rows = [_cells(line, ",") for line in lines if not line.startswith("#")]
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if wrong is not None:
        raise InputError(f"{path}: row {wrong} has {len(rows[wrong - 1])} values, the header has {len(header)}")
    return Manifest([(number, dict(zip(header, row, strict=True))) for number, row in enumerate(rows, 1)])


def _read_list(lines: Sequence[str], knows: Callable[[str], bool]) -> tuple[list[str], list[list[Any]], int] | None:
    """Return columns and rows of lines that begin with a clip each, and how many values are left out.

    None if no line begins with one.
    """

    def is_named_so(text: str) -> bool:
        return text.lower().endswith(VIDEO_SUFFIXES)

    tried = lines[:_NUM_TRIED]
    for test in (knows, is_named_so):
        cuts = {each: [_cut(line, each, test) for line in tried] for each in _SEPARATORS}
        # of those that find as many clips, the one that divides most values from them
        separator = max(
            cuts,
            key=lambda each: (
                sum(cut is not None for cut in cuts[each]),
                sum(bool(cut and cut[1]) for cut in cuts[each]),
            ),
        )
        if any(cuts[separator]):
            break
    else:
        return None
    rows = [
        _cut(line, separator, knows) or _cut(line, separator, is_named_so) or _first(line, separator) for line in lines
    ]
    columns, values, num_left_out = _columns([fields for _, fields in rows], separator)
    return ["path", *columns], [[path, *row] for (path, _), row in zip(rows, values, strict=True)], num_left_out


def _cut(line: str, separator: str, test: Callable[[str], bool]) -> tuple[str, list[str]] | None:
    """Return the longest start of a line that passes a test, and the values after it."""
    parts = _cells(line, separator) if '"' in line else line.split(separator)
    for end in range(len(parts), 0, -1):
        if test(start := separator.join(parts[:end]).strip()):
            return start, [part.strip() for part in parts[end:] if separator != " " or part.strip()]
    return None


def _first(line: str, separator: str) -> tuple[str, list[str]]:
    first, *others = [cell for cell in _cells(line, separator) if separator != " " or cell]
    return first, others


def _columns(rows: Sequence[list[str]], separator: str) -> tuple[list[str], list[list[Any]], int]:
    """Return the names of what stands after the clips, the values that say something of them, and how many do not."""
    widths = {len(row) for row in rows}
    if widths == {0}:
        return [], [[] for _ in rows], 0
    if len(widths) > 1:
        is_text = separator == " " and not all(_is_number(value) for row in rows for value in row)
        return ["label"], [[" ".join(row) if is_text else row] for row in rows], 0
    columns = [list(column) for column in zip(*rows, strict=True)]
    split = next((column for column in columns if all(value.lower() in SPLIT_NAMES for value in column)), None)
    others = [column for column in columns if column is not split]
    words = [column for column in others if not all(map(_is_number, column))]
    if words and separator == " " and split is None:
        # the rest of the line is one text
        label = list(map(" ".join, zip(*columns[columns.index(words[0]) :], strict=True)))
        num_taken = len(columns) - columns.index(words[0])
    else:
        label = words[0] if words else others[-1] if others else None
        num_taken = (label is not None) + (split is not None)
    if label is not None and set(label) == {_UNKNOWN}:
        label, num_taken = None, num_taken - 1
    field = "caption" if label is not None and _is_prose(label) else "label"
    taken = {name: column for name, column in ((field, label), ("split", split)) if column is not None}
    return (
        list(taken),
        [list(row) for row in zip(*taken.values(), strict=True)] or [[] for _ in rows],
        len(columns) - num_taken,
    )


def _is_prose(texts: Sequence[str]) -> bool:
    """Tell whether most texts are sentences, and most of these differ."""
    return sum(text.count(" ") >= 3 for text in texts) > len(texts) / 2 < len(set(texts))


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
