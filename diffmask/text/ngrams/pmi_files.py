"""The folder of a vocabulary of n-grams: a table to read and edit by hand, and how it was made."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmask.core.errors import InputError
from diffmask.files import folders
from diffmask.files.folders import replace_folder
from diffmask.text.corpus.words import split_words
from diffmask.text.ngrams.ngrams import MAX_N

if TYPE_CHECKING:
    import _csv

    import pyarrow

TABLE, RECORD = "ngrams.csv", "pmi.json"
COLUMNS = ("ngram", "n", "count", "pmi")
_FORMAT = "ngrams 1"
"""Changes when the same table means other units."""
_MAKE = "make one with: diffmask pmi DATA -o FOLDER"


def write_vocabulary(folder: Path, table: "pyarrow.Table", record: Mapping[str, Any]) -> None:
    """Write a folder that `check_folder` allowed, all at once; an older one goes away."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        draft.mkdir()
        with (draft / TABLE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for ngram, n, count, pmi in zip(*(table[name].to_pylist() for name in COLUMNS), strict=True):
                writer.writerow([ngram, n, count, f"{pmi:.4f}"])
        text = json.dumps(dict(record), indent=2, ensure_ascii=False)
        (draft / RECORD).write_text(text + "\n", encoding="utf-8")
        replace_folder(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Return the folder if a vocabulary may be written there; see `folders.check_folder`."""
    return folders.check_folder(folder, "n-grams", (TABLE, RECORD), overwrite=overwrite)


def read_vocabulary(folder: str | Path) -> list[str]:
    """Return the n-grams of a folder, whose table may have been edited: only the column `ngram` must be there.

    Raises:
        InputError: The folder is none made by `diffmask pmi`, or a line of the table is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; {_MAKE}")
    missing = next((name for name in (TABLE, RECORD) if not (folder / name).is_file()), None)
    if missing is not None:
        raise InputError(f"folder {folder} has no {missing}, so it is not a vocabulary of n-grams; {_MAKE}")
    path = folder / TABLE
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    reader = csv.reader(lines, strict=True)  # a quote that is never closed is an error
    try:
        first_line = _read_rows(path, reader)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is not of comma-separated values ({error})") from error
    if not first_line:
        raise InputError(f"{path} has no n-gram in it; {_MAKE}")
    return list(first_line)


def _read_rows(path: Path, reader: "_csv.Reader") -> dict[str, int]:
    """Return the n-grams and their lines."""
    header = [name.strip() for name in next(reader, [])]
    if "ngram" not in header:
        raise InputError(f"{path} has no column `ngram` in its first line; name the column of the n-grams so")
    first_line: dict[str, int] = {}
    for row in reader:
        if any(row):
            line = reader.line_num
            ngram = _read_ngram(dict(zip_longest(header, row[: len(header)], fillvalue="")), f"{path}: line {line}")
            if first_line.setdefault(ngram, line) != line:
                raise InputError(f"{path}: lines {first_line[ngram]} and {line} both hold {ngram!r}; drop one")
    return first_line


def _read_ngram(row: dict[str, str], where: str) -> str:
    words = split_words(row["ngram"])
    if not 2 <= len(words) <= MAX_N:
        allowed = f"write two to {MAX_N} words there or drop the line"
        raise InputError(f"{where} has {row['ngram']!r} in the column `ngram`; {allowed}")
    n = row.get("n", "").strip()
    if n and n != str(len(words)):
        raise InputError(f"{where} says n = {n}, but {row['ngram']!r} has {len(words)} words; correct or drop the line")
    return " ".join(words)


def vocabulary_key(folder: str | Path) -> str:
    """Return what identifies the n-grams of a folder."""
    return f"{_FORMAT} {hashlib.sha256((Path(folder) / TABLE).read_bytes()).hexdigest()}"
