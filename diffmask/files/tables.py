"""Separated values, .csv and .tsv and what spreadsheets save: the one reader of tables that are text.

    with Table(Path("anchors.csv")) as table:
        for line, values in table.full_rows():
            print(line, dict(zip(table.header, values, strict=True)))

Commas, semicolons, tabs and bars separate, told by the first line or by the line `sep=;` before it. UTF-8 and UTF-16
are read. In a .csv a value in quotation marks may span lines. In a .tsv a row is a line and a quotation mark a
character, but for those around a whole value, with any inside of it doubled: these are what csv writers add.
"""

import csv
import functools
import hashlib
import io
import itertools
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from diffmask.core.errors import InputError
from diffmask.files.blocks import MOST_BYTES, line_blocks, too_long
from diffmask.files.streams import ByteStream, split_suffix

TABLES = (".csv", ".tsv")
_SEPARATORS = (",", ";", "\t", "|")
_MANY_LINES = 10
"""A value of a .csv that spans more is told: a quotation mark may have swallowed rows."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""First line that Excel writes and reads, before the header."""
_REMEDY = "put quotes around a value that holds the separator"
_TSV_REMEDY = f"{_REMEDY}, and give values of several lines as .csv or .jsonl: a row of a .tsv is one line"

_logger = logging.getLogger(__name__)


class Table:
    """A table, read row by row.

    Args:
        path: The file.

    Raises:
        InputError: Then and when its rows are read: if it is not text, or a row is broken or too long.
    """

    def __init__(self, path: Path):
        self.path = path
        self.header: list[str] = []
        """Values of the first row that is not blank, without white space around; empty if there is none."""
        self.header_line = 0
        self._stream = ByteStream(path, table=True) if path.stat().st_size else None
        self._num_held = 0
        """Characters since the last row."""
        self._num_columns = 0
        self._remedy = _REMEDY
        try:
            self._rows = self._read()
            self._read_header()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        """Return the table, which is closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.__exit__()

    def _read_header(self) -> None:
        for line, values in self._rows:
            if _is_written(values):
                self.header_line, self._num_columns = line, len(values)
                self.header = _without_blank_end([value.strip() for value in values], 0)
                return

    @property
    def progress(self) -> float:
        """Share of the file that has been read, in [0, 1]."""
        return 0.0 if self._stream is None else self._stream.progress

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line and values of each row behind the header, blank ones too, without empty values beyond it."""
        for line, values in self._rows:
            yield line, _without_blank_end(values, len(self.header))

    def full_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row behind the header, with one value for each column; blank rows have none.

        Raises:
            InputError: If a row has another number of values.
        """
        for line, values in self.rows():
            if not _is_written(values):
                yield line, []
                continue
            if len(values) != len(self.header):
                numbers = f"{len(values)} values, the header has {len(self.header)}"
                raise InputError(f"{self.path}: line {line} has {numbers}; {self._remedy}")
            yield line, values

    def find(self, name: str) -> int | None:
        """Return the place of a column, by its name in any case; None if there is none."""
        return next((place for place, known in enumerate(self.header) if known.lower() == name), None)

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        """Return line and values of each row, that of the names included."""
        lines = self._lines()
        start = list(_until_written(lines))
        told = _SEPARATOR_LINE.fullmatch(start[-1]) if start else None
        num_before = len(start) if told else 0
        start = list(_until_written(lines)) if told else start
        lines = itertools.chain(start, lines)
        from_spreadsheet = told is not None or (self._stream is not None and self._stream.is_utf16)
        if split_suffix(self.path)[0] == ".tsv" and not from_spreadsheet:
            return self._tab_rows(lines)
        return self._quoted_rows(lines, told[1] if told else _separator("".join(start)), num_before)

    def _lines(self) -> Iterator[str]:
        """Yield the lines with their line breaks."""
        for block in line_blocks(self._stream) if self._stream is not None else ():
            for number, line in enumerate(io.StringIO("\n".join(block.lines()), newline=""), block.first):
                self._num_held += len(line)
                if self._num_held > MOST_BYTES:
                    raise too_long(f"{self.path}: the row that ends in line {number} or later")
                if "\0" in line:
                    raise InputError(f"{self.path}: line {number} holds a NUL byte; save the table again as UTF-8")
                yield line

    def _quoted_rows(self, lines: Iterator[str], separator: str, num_before: int) -> Iterator[tuple[int, list[str]]]:
        """Yield rows whose values may be in quotation marks, and tell of those that have many lines."""
        csv.field_size_limit(sys.maxsize)  # rows are limited as they are read
        rows = csv.reader(lines, delimiter=separator, strict=True)
        last, num_long, longest = num_before, 0, (0, 0)
        try:
            for values in rows:
                first, last, self._num_held = last + 1, num_before + rows.line_num, 0
                if last - first >= _MANY_LINES:
                    num_long += 1
                    longest = max(longest, (first, last), key=lambda span: span[1] - span[0])
                yield last, values
        except csv.Error as error:
            until = num_before + rows.line_num
            reason = f"{error}, to line {until}" if until > last + 1 else str(error)
            where = f"{self.path}: line {last + 1} is not a row of values ({reason})"
            raise InputError(f"{where}; check its quotes") from error
        finally:
            if num_long:
                _tell_long(self.path, num_long, *longest)

    def _tab_rows(self, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield rows that are lines."""
        for number, line in enumerate(lines, 1):
            self._num_held = 0
            line = line.rstrip("\r\n")
            values = line.split("\t")
            if '"' in line:
                if line.count('"') % 2:
                    self._remedy = _TSV_REMEDY
                values = _tab_values(line, values, self._num_columns or len(values))
            yield number, values


def read_lines(path: Path, what: str) -> tuple[list[str], str]:
    """Return the lines of a small text file, and the sha256 of its content without a byte order mark.

    Args:
        path: The file.
        what: What it is, for messages.

    Raises:
        InputError: If it does not exist, is not text, or a line of it is too long.
    """
    if not path.is_file():
        raise InputError(f"the {what} {path} does not exist; check the path")
    digest, lines = hashlib.sha256(), []
    with ByteStream(path, table=True) as stream:
        for block in line_blocks(stream):
            assert isinstance(block.data, bytes)
            digest.update(block.data)
            part = block.lines()
            # a block ends behind a line break, so that its last line is none; the file's last one need not
            lines += [line.removesuffix("\r") for line in (part if part[-1] else part[:-1])]
    return lines, digest.hexdigest()


def names_column(lines: Sequence[str], name: str) -> bool:
    """Tell whether the first line that is not blank names a column, as that of a table does.

    >>> names_column(["", '"Anchor";count'], "anchor")
    True
    """
    header = next((line for line in lines if line.strip() and not _SEPARATOR_LINE.fullmatch(line)), "")
    return name in {value.strip(' "').lower() for value in header.split(_separator(header))}


def _separator(header: str) -> str:
    """Return what separates the values of a header: what stands most often outside of its quotation marks.

    >>> _separator('"a, b";c'), _separator("text")
    (';', ',')
    """
    bare = _QUOTED.sub("", header)
    return max(_SEPARATORS, key=bare.count)


def _tab_values(line: str, values: list[str], num_columns: int) -> list[str]:
    r"""Return the values of a line of a .tsv, those as they were that a csv writer put in quotation marks.

    >>> line = '"a ""no"" is said"\t"no" is a word'
    >>> _tab_values(line, line.split("\t"), 2)
    ['a "no" is said', '"no" is a word']
    """
    if len(values) != num_columns:
        try:
            quoted = next(csv.reader([line], delimiter="\t", strict=True), [])
        except csv.Error:
            return values
        return quoted if len(quoted) == num_columns else values
    return [value[1:-1].replace('""', '"') if _QUOTED.fullmatch(value) else value for value in values]


def _without_blank_end(values: list[str], least: int) -> list[str]:
    """Return values without the empty ones at the end, as which spreadsheets save columns that are not used."""
    end = len(values)
    while end > least and not values[end - 1].strip():
        end -= 1
    return values[:end]


def _is_written(row: Sequence[str]) -> bool:
    return any(value.strip() for value in row)


def _until_written(lines: Iterator[str]) -> Iterator[str]:
    """Yield the blank lines at the start, and the first line that is not blank."""
    for line in lines:
        yield line
        if line.strip():
            return


@functools.lru_cache(maxsize=1 << 10)  # a corpus is read more than once
def _tell_long(path: Path, num_long: int, first: int, last: int) -> None:
    others = f" (and {num_long - 1:,} other rows more than {_MANY_LINES})" if num_long > 1 else ""
    _logger.warning(
        "%s: a value in quotation marks joins %d lines into one row, lines %d to %d%s; if these are rows of their own, "
        "write quotation marks inside of values twice, or give the table as .tsv or .jsonl",
        path, last - first + 1, first, last, others,
    )  # fmt: skip
