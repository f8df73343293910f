"""The files of a folder of visual anchors: a table to read and edit, tensors, a picture, and how they were made."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from diffmask.core.anchors import check_anchors
from diffmask.core.errors import InputError
from diffmask.files import folders
from diffmask.files.records import read_records

ANCHORS, TENSORS, RECORD, SHEET = "anchors.csv", "anchors.safetensors", "anchors.json", "sheet.png"
NAMES = (ANCHORS, TENSORS, RECORD, SHEET)
COLUMNS = ("anchor", "kind", "tf_icf", "domain_count", "domain_clips", "domain_frequency", "reference_frequency")
MODALITY = "video"
MAKE = "make it with: diffmask anchors CLIPS --reference OTHER_CLIPS -o FOLDER"


def read_kept(path: Path, known: Sequence[str]) -> list[str]:
    """Return the anchors of a table that people may have edited: rows can be dropped and moved, not added.

    Args:
        path: The table; only its column `anchor` is read.
        known: The anchors that were made.

    Raises:
        InputError: If it is no table of anchors, none is left, one comes twice, or one was never made.
    """
    kept = []
    for number, row in read_records(path):
        if "anchor" not in row:
            raise InputError(f"{path} has no column `anchor` in its first line; name the column of the anchors so")
        name = str(row["anchor"] or "")
        if name not in known:
            raise InputError(
                f"{path}: row {number} has the anchor {name!r}, which the folder does not hold; drop rows, or make "
                "anchors of your own with --text or --exemplar"
            )
        kept.append(name)
    return check_anchors(kept, str(path))


def write_table(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Write the table that people read and edit; `COLUMNS` names the values of a row, None is left empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write how the anchors were made."""
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """Return how the anchors of a folder were made.

    Raises:
        InputError: If the folder or one of its files is missing, or it holds the anchors of texts.
    """
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; {MAKE}")
    missing = [name for name in (ANCHORS, TENSORS, RECORD) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"folder {folder} has no {missing[0]}, so it is not one of anchors; {MAKE}")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / RECORD} is damaged ({error}); make the anchors again") from error
    if record.get("modality") != MODALITY:
        raise InputError(f"folder {folder} holds the anchors of texts, not of clips; {MAKE}")
    return record


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder.

    Raises:
        InputError: If their file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / TENSORS)
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"a file of {folder} is damaged ({reason}); make the anchors again") from error


def check_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Return the folder if anchors may be written there; see `folders.check_folder`."""
    return folders.check_folder(folder, "anchors", NAMES, overwrite=overwrite)
