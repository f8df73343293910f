"""The files of an anchors folder: a list to read and edit by hand, tables for machines, and how they were made."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffmask.core.anchors import check_anchors
from diffmask.core.errors import InputError
from diffmask.files import folders
from diffmask.text.corpus.words import split_words

ANCHORS, TYPES, EMBEDDINGS, RECORD = "anchors.csv", "types.parquet", "anchors.safetensors", "anchors.json"
NAMES = (ANCHORS, TYPES, EMBEDDINGS, RECORD)
COLUMNS = ("anchor", "tf_icf", "domain_count", "domain_frequency", "reference_frequency")


def read_anchors(path: str | Path) -> list[str]:
    """Return the anchors of a file that people wrote or edited, in lower case.

    A table (.csv, or a first line that has the column `anchor`) is read by that column; anything else is a list with
    one anchor a line. An anchor may be several words, and need not occur in the data.

    Raises:
        InputError: If there is no such file or column, the file is not UTF-8, a line has no word in it, or an anchor
            comes twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a file with one anchor a line, or an edited {ANCHORS}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    header = [name.strip() for name in next(csv.reader(lines[:1]), [])]
    if "anchor" in header:
        column = header.index("anchor")
        entries = [(number, row[column] if column < len(row) else "") for number, row in _rows(lines)]
    elif path.suffix == ".csv":
        raise InputError(f"{path} has no column `anchor` in its first line; name the column of the words so")
    else:
        entries = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    anchors = []
    for number, entry in entries:
        words = split_words(entry)
        if not words:
            raise InputError(f"{path} has no word in line {number} ({entry!r}); write an anchor there or drop the line")
        anchors.append(" ".join(words))
    return check_anchors(anchors, str(path))


def _rows(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    return [(number, row) for number, row in enumerate(csv.reader(lines), 1) if number > 1 and any(row)]


def write_anchors(path: Path, rows: Sequence[tuple[str, float, int, float, float]]) -> None:
    """Write the table that people read and edit; `COLUMNS` names the values of a row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for anchor, tf_icf, count, domain, reference in rows:
            writer.writerow([anchor, f"{tf_icf:.6g}", count, f"{domain:.6g}", f"{reference:.6g}"])


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write how the anchors were made."""
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """Return how the anchors of a folder were made.

    Raises:
        InputError: If the folder or one of its files is missing, or its anchors were edited without scoring again.
    """
    make = "make it with: diffmask anchors DATA --model MODEL -o FOLDER"
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; {make}")
    missing = [name for name in NAMES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"folder {folder} has no {missing[0]}, so it is not one of anchors; {make}")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / RECORD} is damaged ({error}); make the anchors again") from error
    if read_anchors(folder / ANCHORS) != record["anchors"]:
        raise InputError(
            f"{folder / ANCHORS} was edited, but the scores are still those of the anchors before; score again with: "
            f"diffmask anchors DATA --model MODEL --anchors {folder / ANCHORS} -o {folder} --overwrite"
        )
    return record


def hash_file(path: str | Path) -> str:
    """Return the sha256 of a small file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def check_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Return the folder if anchors may be written there; see `folders.check_folder`."""
    return folders.check_folder(folder, "anchors", NAMES, overwrite=overwrite)
