"""What data are: clips, or something else."""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.video.clip.find import SUFFIXES

_INDEX_COLUMNS = {"path", "status", "num_frames", "fps"}
_TEXTS = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_COMPRESSIONS = (".gz", ".zst")
_SHARED = (".ts", ".mts")
"""Of streams of MPEG, and of TypeScript."""
_SYNC = 0x47
_PACKETS = ((0, 188), (4, 192), (0, 204))
"""Where the first packet of an MPEG stream begins, and how long packets are: each begins with the same byte."""


def are_clips(sources: Sequence[str | Path], expected: Callable[[], bool | None] | None = None) -> bool:
    """Tell whether sources are clips: indexes, videos, or folders and globs of more videos than texts.

    A text that is named as a video beside it is told with it, not counted.

    Args:
        sources: Files, folders or globs, which are known by their names, an index by its columns.
        expected: Asked where there are both: True if clips are meant, False if texts, None if that is not known.
    """
    paths = [path for source in sources for path in _find(str(source))]
    videos = {path for path in paths if _is_video(path)}
    stems = {os.path.splitext(path)[0] for path in videos}
    num_texts = sum(path not in videos and _is_text(path) and not _stands_beside(path, stems) for path in paths)
    if videos and num_texts and expected is not None and (answer := expected()) is not None:
        return answer
    return 0 < len(videos) >= num_texts


def refuse_nothing(sources: Sequence[str | Path]) -> None:
    """Refuse sources that are not there, are empty, or are a table that cannot be read, whatever they were to be.

    Raises:
        InputError: If there is one.
    """
    for source in map(str, sources):
        if os.path.isdir(source):
            if next(_names(source), None) is None:
                raise InputError(f"folder {source} has no files; check the path")
        elif not os.path.lexists(source) and not (glob.has_magic(source) and glob.glob(source, recursive=True)):
            what = "matches no file" if glob.has_magic(source) else "does not exist"
            raise InputError(f"{source} {what}; check the path")
        elif source.endswith(".parquet") and (reason := _damage(source)):
            raise InputError(f"{source} is no table that can be read ({reason}); make it again")


def _find(source: str) -> Iterator[str]:
    """Yield the files that a source names, and a name that is no file."""
    if os.path.isdir(source):
        yield from _names(source)
    elif os.path.lexists(source) or not glob.has_magic(source):
        yield source
    else:
        for match in glob.iglob(source, recursive=True):
            yield from _names(match) if os.path.isdir(match) else [match]


def _names(folder: str) -> Iterator[str]:
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(here, name) for name in names if not name.startswith("."))


def _is_video(path: str) -> bool:
    if path.endswith(".parquet"):
        return _is_index(path)
    lowered = path.lower()
    return _is_stream(path) if lowered.endswith(_SHARED) else lowered.endswith(SUFFIXES)


def _is_stream(path: str) -> bool:
    """Tell whether a file begins with two packets of an MPEG stream."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        head = file.read(256)
    return any(len(head) > at + size and head[at] == head[at + size] == _SYNC for at, size in _PACKETS)


def _is_text(path: str) -> bool:
    stem, suffix = os.path.splitext(path.lower())
    return (stem if suffix in _COMPRESSIONS else path.lower()).endswith(_TEXTS)


def _stands_beside(path: str, stems: set[str]) -> bool:
    """Tell whether a file is named as a video, with something after a dot."""
    folder, name = os.path.split(path)
    return any(os.path.join(folder, name[:place]) in stems for place, char in enumerate(name) if char == ".")


def _is_index(path: str) -> bool:
    import pyarrow
    from pyarrow import parquet

    try:
        return os.path.isfile(path) and set(parquet.read_schema(path).names) >= _INDEX_COLUMNS
    except (pyarrow.ArrowInvalid, OSError):
        return False


def _damage(path: str) -> str:
    import pyarrow
    from pyarrow import parquet

    try:
        parquet.read_schema(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        return str(error).strip().splitlines()[0].rstrip(".")[:160]
    return ""
