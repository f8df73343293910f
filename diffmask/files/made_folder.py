"""What a command made: tables to read and edit by hand, and the record of how it was made, beside or inside."""

import csv
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from diffmask.core.errors import InputError, library_errors
from diffmask.files.folders import check_output
from diffmask.files.json_object import parse_object, read_object

if TYPE_CHECKING:
    import pyarrow
    from torch import Tensor


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write comma-separated values; floats have six digits, and None is left empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write how the folder around this file was made."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    # in JSON a backslash is how a byte of a file name that is not UTF-8 is written
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_record(path: Path, names: Collection[str], what: str, make: str, schema: Any = MappingProxyType({})) -> Any:
    """Return how the folder around this file was made.

    Args:
        path: The record.
        names: Names of the files that such a folder must hold.
        what: What it holds, for messages.
        make: How to make one, for messages.
        schema: What the record must hold; see `json_object`.

    Raises:
        InputError: If the folder or one of its files is missing, or the record is damaged.
    """
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; {make}")
    missing = next((name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise InputError(f"folder {folder} has no {missing}, so it holds no {what}; {make}")
    return read_object(path, schema, make)


def has_record(path: Path, key: bytes) -> bool | None:
    """Tell whether a Parquet file has a record under a key; None of what is no whole Parquet file."""
    import pyarrow
    from pyarrow import parquet

    try:
        return key in (parquet.read_schema(path).metadata or {})
    except (pyarrow.ArrowException, OSError):
        return None


def read_table(
    path: Path,
    columns: Mapping[str, str],
    make: str,
    key: bytes = b"",
    schema: Any = MappingProxyType({}),
    *,
    optional: Collection[str] = (),
    row_group: int | None = None,
) -> tuple["pyarrow.Table", Any]:
    """Return columns of a Parquet file that was made here, and the record inside it.

    Args:
        path: The file.
        columns: Names of columns and their Arrow types; every row must have a value, and no number is infinite.
        make: How to make one, for messages.
        key: Where its record stands, if it has one.
        schema: What the record must hold; see `json_object`.
        optional: Columns of which a row may have no value.
        row_group: Read this one alone.

    Raises:
        InputError: If the file or its record is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    with library_errors(f"{path} is damaged", make, pyarrow.ArrowException, OSError):
        file = parquet.ParquetFile(path)
        lacking = next((name for name in columns if name not in file.schema_arrow.names), None)
        if lacking is not None:
            raise InputError(f"{path} is damaged (it has no column {lacking!r}); {make}")
        wanted = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()])
        names = list(columns)
        table = file.read(names) if row_group is None else file.read_row_group(row_group, names, use_threads=False)
        table = table.select(names).cast(wanted)
    bad = next((name for name in columns if name not in optional and _has_gaps(table[name])), None)
    if bad is not None:
        raise InputError(f"{path} is damaged (its column {bad!r} has values that are missing or not finite); {make}")
    record, wrong = parse_object((file.schema_arrow.metadata or {}).get(key, b"{}"), schema)
    if wrong is not None:
        raise InputError(f"{path} is damaged (in its record, {wrong}); {make}")
    return table, record


def read_tensors(path: Path, dimensions: Mapping[str, int], make: str) -> "dict[str, Tensor]":
    """Return the tensors of a safetensors file that was made here; all are of finite numbers.

    Args:
        path: The file.
        dimensions: Names of tensors that it must hold, and how many dimensions each has.
        make: How to make one, for messages.

    Raises:
        InputError: If it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with library_errors(f"{path} is damaged", make, SafetensorError, OSError):
        tensors = load_file(path)
    for name, number in dimensions.items():
        if name not in tensors or tensors[name].dim() != number:
            raise InputError(f"{path} is damaged (it has no tensor {name!r} of {number} dimensions); {make}")
    bad = next((name for name, each in tensors.items() if not each.isfinite().all()), None)
    if bad is not None:
        raise InputError(f"{path} is damaged (its tensor {bad!r} has values that are not finite); {make}")
    return tensors


def _has_gaps(column: "pyarrow.ChunkedArray") -> bool:
    from pyarrow import compute, types

    finite = compute.call_function("is_finite", [column]) if types.is_floating(column.type) else None
    return column.null_count > 0 or (finite is not None and compute.call_function("all", [finite]).as_py() is False)


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
        return has_record(found, key) is False  # a damaged one may be made anew

    return check_output(
        path, what, f"{what.split()[-1]}.parquet", (".parquet",),
        overwrite=overwrite, reads=reads, is_foreign=is_foreign, option=option,
    )  # fmt: skip
