"""A cache of Arrow files that several processes share and that may be interrupted or damaged.

A file is checked before it is used; a missing or damaged one is made again.
"""

import contextlib
import json
import logging
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmask.core.errors import InputError
from diffmask.files.folders import DISK_FULL, NOT_ALLOWED, FullDiskError, draft
from diffmask.files.lock import waited_for

if TYPE_CHECKING:
    import datasets
    import pyarrow

_CHUNK_BYTES = 1 << 20
_REMEDY = "give the same command again or name another cache folder"

Record = dict[str, Any]
Write = Callable[["pyarrow.RecordBatch"], None]

logger = logging.getLogger(__name__)


def load_or_make(
    folder: Path, name: str, schema: "pyarrow.Schema", fill: Callable[[Write], Record]
) -> tuple["datasets.Dataset", Record]:
    """Return the dataset of a name; make it if it is missing.

    A run that finds another one making the same dataset waits for it. A file appears when it is complete; a checksum
    tells whether it still is, and a damaged one is made again.

    Args:
        folder: Where the files are kept; created where missing.
        name: Tells the content: the same name is the same content.
        schema: Columns of the dataset.
        fill: Makes the content: it is given a function that writes a batch of rows, and returns a record to keep.

    Raises:
        InputError: The folder cannot be written, or the disk is full; no part of a file is left.
    """
    path = folder / f"{name}.arrow"
    with _locked(folder, name):
        record = _read_record(path)
        if record is None:
            record = _make(path, schema, fill)
        else:
            logger.info("found %s", path)
    import datasets

    return datasets.Dataset.from_file(str(path)), record


def _make(path: Path, schema: "pyarrow.Schema", fill: Callable[[Write], Record]) -> Record:
    import pyarrow

    for left_over in path.parent.glob(f".{path.stem}.*.partial"):
        left_over.unlink()  # of a run that was killed, perhaps on another machine: we hold the lock
    with draft(path.with_suffix(".json"), _REMEDY, tidy=False) as beside, draft(path, _REMEDY, tidy=False) as new:
        # Arrow's own file does not buffer: nothing is left to be written, and to fail, when it is closed
        with pyarrow.OSFile(str(new), "wb") as file, pyarrow.ipc.new_stream(file, schema) as stream:
            record = fill(stream.write_batch)
        check = {"num_bytes": new.stat().st_size, "crc32": checksum(new)}
        beside.write_text(json.dumps({"check": check, "record": record}, indent=1))
    return record


def _read_record(path: Path) -> Record | None:
    """Return the record of a file that is complete and undamaged."""
    beside = path.with_suffix(".json")
    if not path.is_file() or not beside.is_file():
        return None
    try:
        content = json.loads(beside.read_bytes())
        check, record = content["check"], content["record"]
        if check == {"num_bytes": path.stat().st_size, "crc32": checksum(path)}:
            return record
    except (ValueError, KeyError, TypeError):
        pass  # a damaged record is reported below
    logger.warning("%s is damaged and is made again", path)
    return None


def checksum(path: Path) -> int:
    """Return the crc32 of a file's content."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a name; the system gives it back when a process dies."""
    make_cache_folder(folder)
    lock = contextlib.ExitStack()
    with _making(folder):
        lock.enter_context(waited_for(folder / f"{name}.arrow"))
    with lock:
        yield


def make_cache_folder(folder: Path) -> None:
    """Make a folder for what is kept, if it is not there.

    Raises:
        InputError: If it cannot be made or written; also if the disk is full.
    """
    with _making(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise InputError(f"the cache folder {folder} may not be written; name another one")


@contextlib.contextmanager
def _making(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise FullDiskError(folder, os.strerror(error.errno), _REMEDY) from error
        not_a_folder = isinstance(error, FileExistsError | NotADirectoryError)
        if error.errno not in NOT_ALLOWED and not not_a_folder:
            raise
        reason = "is not a folder" if not_a_folder else "may not be written"
        raise InputError(f"the cache folder {folder} {reason}; name another one") from error
