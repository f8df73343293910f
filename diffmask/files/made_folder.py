"""What a command made: tables to read and edit by hand, and the record of how it was made, beside or inside."""

import csv
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.files.folders import check_output


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write comma-separated values; floats have six digits, and None is left empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write how the folder around this file was made."""
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_record(path: Path, names: Collection[str], what: str, make: str) -> dict[str, Any]:
    """Return how the folder around this file was made.

    Args:
        path: The record.
        names: Names of the files that such a folder must hold.
        what: What it holds, for messages.
        make: How to make one, for messages.

    Raises:
        InputError: If the folder or one of its files is missing, or the record is damaged.
    """
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; {make}")
    missing = next((name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise InputError(f"folder {folder} has no {missing}, so it holds no {what}; {make}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); make the {what} again") from error


def record_inside(path: Path, key: bytes) -> dict[str, Any] | None:
    """Return the record that a Parquet file holds under a key of its metadata; None where it holds none."""
    import pyarrow
    from pyarrow import parquet

    try:
        metadata = parquet.read_schema(path).metadata or {}
    except pyarrow.ArrowInvalid:
        return None  # not Parquet at all, which the callers say in their own words
    return json.loads(metadata[key]) if key in metadata else None


def check_table(
    path: str | Path,
    what: str,
    key: bytes,
    *,
    overwrite: bool,
    reads: Iterable[str | Path] = (),
    option: str = "-o",
) -> Path:
    """Return the path of a Parquet file with a record of ours that may be written; see `folders.check_output`.

    Args:
        path: What the user named.
        what: What it will hold, for messages.
        key: Where the record of its kind stands; a table without it is never replaced.
        overwrite: Whether a file of this kind may be replaced.
        reads: What the command reads.
        option: The option that names the file, for messages.
    """

    def is_foreign(found: Path) -> bool:
        import pyarrow
        from pyarrow import parquet

        try:
            return key not in (parquet.read_schema(found).metadata or {})
        except (pyarrow.ArrowInvalid, OSError):
            return False  # damaged: it may be made anew

    return check_output(
        path, what, f"{what.split()[-1]}.parquet", (".parquet",),
        overwrite=overwrite, reads=reads, is_foreign=is_foreign, option=option,
    )  # fmt: skip
