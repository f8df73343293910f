"""A corpus: files, folders, globs and datasets on disk, read as one stream of documents or block by block.

    for document in read_documents(["papers/", "notes.jsonl.gz"]):
        print(document.source, document.number, document.text)

A line of a `.txt` is a document, and so is a row of the other formats; blank ones are skipped. Blocks are what is sent
to other processes: they are parsed there.
"""

import glob
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diffmask.core.errors import InputError
from diffmask.files.blocks import Block
from diffmask.files.records import READERS, is_dataset, read_blocks
from diffmask.files.streams import AS_CSV, COMPRESSIONS, SPREADSHEET_SUFFIXES, split_suffix

if TYPE_CHECKING:
    from tqdm import tqdm

_FORMATS = f"{', '.join(READERS)}, each also with {' or '.join(COMPRESSIONS)}"
_HASH_BYTES = 1 << 20

SELECTED, SELECTION = "selected.jsonl.gz", "selection.json"
"""Text that `diffmask select-text` chose, and how it did."""

_logger = logging.getLogger(__name__)

Sources = str | Path | Sequence[str | Path]


class Document(NamedTuple):
    """A text and its identity, which depends only on the corpus, not on how it is read."""

    text: str
    source: str
    """Path of the file, or of the folder of a dataset."""
    number: int
    """Its line or row in the source, from 1."""
    source_index: int
    """Place of the source in `list_files`."""


def list_files(sources: Sources, column: str | None = None) -> list[Path]:
    """Return the files (and dataset folders) that sources name, in a fixed order, each once.

    Args:
        sources: Files, folders (read with their subfolders, in order of names; hidden files and unknown formats are
            left out), globs, or folders made by `save_to_disk` of Hugging Face datasets.
        column: Name of the text column that will be read; None finds it.

    Raises:
        InputError: A source does not exist or has no text file in it, is no path at all, or all are plain text, which
            has no columns.
    """
    _refuse_objects(sources)
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    if not sources:
        raise InputError("no corpus was given; name at least one file, folder or glob")
    once: dict[str, Path] = {}
    for source in sources:
        for path in _expand(source):
            once.setdefault(os.path.realpath(path), path)
    files = list(once.values())
    if column is not None and all(split_suffix(path)[0] == ".txt" for path in files):
        raise InputError(f"column {column!r} was given, but plain text has no columns ({files[0]}); leave it out")
    return files


def _refuse_objects(sources: Any) -> None:
    """Refuse what is no path, such as a data set in memory, which is known again by no hash of a file."""
    given = sources if isinstance(sources, Sequence) and not isinstance(sources, str) else [sources]
    for source in given:
        if isinstance(source, str | Path):
            continue
        kind = type(source)
        if kind.__module__.startswith("datasets."):
            write = "to_parquet" if kind.__name__.startswith("Iterable") else "save_to_disk"
            what = "the folder" if write == "save_to_disk" else "the file"
            raise InputError(
                f"a corpus is named by its files, and a datasets.{kind.__name__} is in memory; write it with its "
                f"method {write}, and name {what}"
            )
        raise InputError(f"a corpus is named by its files, not by a value of type {kind.__name__}; give their paths")


def read_documents(sources: Sources, column: str | None = None) -> Generator[Document]:
    """Return the documents of a corpus one after the other; memory does not grow with it.

    When all are read, or the generator is closed, it is logged which columns they stood in.

    Args:
        sources: See `list_files`.
        column: Name of the text column; None finds a well-known name (text, content, sentence, ...) or the only column
            of text.

    Raises:
        InputError: A source cannot be read; the message says which, where and what to do.
    """
    return _documents(list_files(sources, column), column)


def _documents(files: list[Path], column: str | None) -> Generator[Document]:
    reading = Reading(files, column)
    try:
        for index, path in enumerate(files):
            for block in read_blocks(path, column):
                reading.add_column(block)
                num_texts = 0
                for number, text in block.texts():
                    yield Document(text, block.path, number, index)
                    num_texts += 1
                reading.add_rows(block)
                reading.add_texts(block.path, num_texts)
            reading.refuse_empty(path)
    finally:
        reading.tell()


class Reading:
    """What is read of the files of a corpus: which columns, how many rows, and how many of them have no text.

    Args:
        files: The files, as `list_files` returns them.
        column: Name of the text column; None finds it.
    """

    def __init__(self, files: Sequence[Path], column: str | None):
        self._files, self._column = files, column
        self._num_texts = dict.fromkeys(map(str, files), 0)
        self._columns: dict[str, str] = {}
        self._num_rows: Counter[str] = Counter()

    def blocks(self, block_bytes: int, bar: "tqdm") -> Iterator[Block]:
        """Read the blocks of all files, and move a progress bar by the bytes that were read."""
        sizes = [sum(file.stat().st_size for file in _content(path)) for path in self._files]
        bar.total = (bar.total or 0) + sum(sizes)
        for path, size in zip(self._files, sizes, strict=True):
            progress = 0.0
            for block in read_blocks(path, self._column, block_bytes):
                self.add_column(block)
                self.add_rows(block)
                yield block
                # a generator continues when the next block is asked for, so only now has this one been dealt with
                bar.update((block.progress - progress) * size)
                progress = block.progress

    def add_column(self, block: Block) -> None:
        """Note from which column a block is read."""
        if block.column is not None and block.num_rows:
            self._columns[block.path] = block.column

    def add_rows(self, block: Block) -> None:
        """Note the rows of a block."""
        self._num_rows[block.path] += block.num_rows

    def add_texts(self, path: str, number: int) -> None:
        """Note how many texts were found in a block of a file."""
        self._num_texts[path] += number

    @property
    def num_documents(self) -> int:
        """Number of texts in all files."""
        return sum(self._num_texts.values())

    def refuse_empty(self, *files: Path) -> None:
        """Refuse a file in which no text was found.

        Args:
            files: Those that have been read; none means all.

        Raises:
            InputError: For the first file with none.
        """
        for path in map(str, files or self._files):
            if self._num_texts[path] == 0:
                column = f" in its column {self._columns[path]!r}" if path in self._columns else ""
                raise InputError(
                    f"{path} contains no text{column}, only blank lines or rows; remove it from the corpus or fill it"
                )

    def tell(self) -> None:
        """Log which columns were read, if there are columns."""
        if self._columns:
            _logger.info("read %s", self)

    def __str__(self) -> str:
        """Return the columns, each with its rows, as part of a sentence; empty where text has no columns."""
        parts = []
        for column in dict.fromkeys(self._columns.values()):
            paths = [path for path, own in self._columns.items() if own == column]
            where = Path(paths[0]).name if len(paths) == 1 else f"{len(paths):,} files"
            num_rows = sum(self._num_rows[path] for path in paths)
            missing = num_rows - sum(self._num_texts[path] for path in paths)
            rows = f": {num_rows:,} rows" if num_rows else ""  # none are known while the first are read
            parts.append(f"column {column!r} of {where}{rows}" + (f", {missing:,} without text" if missing else ""))
        return "; ".join(parts)


def describe_sources(sources: Sources) -> list[dict[str, Any]]:
    """Return path, bytes and sha256 of every file, for records of how something was made."""
    described = []
    for path in list_files(sources):
        sha256, num_bytes = _hash(path)
        described.append({"path": str(path), "bytes": num_bytes, "sha256": sha256})
    return described


def join_sources(parts: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return what `describe_sources` said of several corpora whose counts are added up, as one list.

    Raises:
        InputError: If a file with the same content is in two of them: it would be counted twice.
    """
    joined: list[dict[str, Any]] = []
    for part in parts:
        known = {source["sha256"]: source["path"] for source in joined}
        twice = next((source for source in part if source["sha256"] in known), None)
        if twice is not None:
            same = f"{known[twice['sha256']]} and {twice['path']} have the same content"
            raise InputError(f"the counts to add up overlap: {same}; count each file once")
        joined += part
    return joined


def hash_sources(sources: Sources) -> str:
    """Return one sha256 of a corpus: of the content, format and order of its files, not of their names."""
    digest = hashlib.sha256()
    for path in list_files(sources):
        digest.update(f"{''.join(split_suffix(path))} {_hash(path)[0]}\n".encode())
    return digest.hexdigest()


def _expand(source: str | Path) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        found = _walk(path)
        if not found:
            raise InputError(f"folder {path} has no corpus file; looked for {_FORMATS}")
        return found
    if path.is_file():
        if path.suffix.lower() in SPREADSHEET_SUFFIXES:
            raise InputError(f"{path} {AS_CSV}")
        if not _is_known(path):
            raise InputError(f"{path} has an unknown format; allowed: {_FORMATS}; rename or convert it")
        return [path]
    if path.exists():
        raise InputError(f"{path} is not a file or folder; write its content to a file first")
    if not glob.has_magic(str(source)):
        raise InputError(f"{path} does not exist; check the path")
    matches = sorted(Path(match) for match in glob.glob(str(source), recursive=True))
    found = [file for match in matches for file in (_walk(match) if match.is_dir() else [match]) if _is_corpus(file)]
    if not found:
        raise InputError(f"no corpus file matches {source}; allowed: {_FORMATS}")
    return found


def _walk(folder: Path) -> list[Path]:
    """Return the files of a folder; what is left out is logged by its suffix."""
    left_out: Counter[str] = Counter()
    found = list(_walk_once(folder, set(), left_out))
    if told := ", ".join(f"{count} {what}" for what, count in sorted(left_out.items()) if count):
        _tell(str(folder), told)
    return found


def _walk_once(folder: Path, seen: set[Path], left_out: Counter[str]) -> Iterator[Path]:
    """Yield the files of a folder in order of names; folders that links lead to are read once, those above it never."""
    if (place := folder.resolve()) in seen:
        return
    seen.add(place)
    if is_dataset(folder):
        yield folder
        return
    if all((folder / name).is_file() for name in (SELECTED, SELECTION)):
        yield folder / SELECTED  # beside its record, which is no text
        return
    for child in sorted(folder.iterdir()):
        if child.name.startswith((".", "_")):
            left_out["hidden"] += child.is_file() and _is_known(child)
        elif child.is_dir():
            yield from () if place.is_relative_to(child.resolve()) else _walk_once(child, seen, left_out)
        elif child.is_file() and _is_known(child):
            yield child
        else:
            left_out[child.suffix.lower() or "without a suffix"] += 1


@cache
def _tell(folder: str, left_out: str) -> None:
    """Log what was left out of a folder, once."""
    _logger.warning("%s: files that are no corpus are left out (%s); looked for %s", folder, left_out, _FORMATS)


def _is_known(path: Path) -> bool:
    return split_suffix(path)[0] in READERS


def _is_corpus(path: Path) -> bool:
    """Tell whether a path is a dataset, or a file that can be read; a pipe would be waited for."""
    return path.is_dir() or (path.is_file() and _is_known(path))


def _hash(path: Path) -> tuple[str, int]:
    """Return sha256 and size of a file, or of the tables of a dataset folder."""
    digest, num_bytes = hashlib.sha256(), 0
    for file in _content(path):
        with file.open("rb") as content:
            while chunk := content.read(_HASH_BYTES):
                digest.update(chunk)
                num_bytes += len(chunk)
    return digest.hexdigest(), num_bytes


def _content(path: Path) -> list[Path]:
    """Return the files that hold a source's rows: itself, or the tables of a dataset folder."""
    return sorted(path.rglob("*.arrow")) if path.is_dir() else [path]
