"""What data are: clips, or something else."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffmask.video.files import SUFFIXES

_INDEX_COLUMNS = {"path", "status", "num_frames", "fps"}


def are_clips(sources: Sequence[str | Path]) -> bool:
    """Tell whether a source is an index of clips, a video, or a folder or glob that holds one; content is not read."""
    return any(_is_clips(str(source)) for source in sources)


def _is_clips(source: str) -> bool:
    if os.path.isdir(source):
        return any(name.lower().endswith(SUFFIXES) for name in _names(source))
    if source.lower().endswith(SUFFIXES):
        return True
    if source.endswith(".parquet") and os.path.isfile(source):
        return _is_index(source)
    return any(_is_clips(match) for match in glob.glob(source, recursive=True)) if glob.has_magic(source) else False


def _names(folder: str) -> Iterator[str]:
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (name for name in names if not name.startswith("."))


def _is_index(path: str) -> bool:
    import pyarrow
    from pyarrow import parquet

    try:
        return set(parquet.read_schema(path).names) >= _INDEX_COLUMNS
    except (pyarrow.ArrowInvalid, OSError):
        return False
