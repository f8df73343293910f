"""Which files of video folders, globs and names stand for, and whether data are clips or texts."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from diffmask.core.errors import InputError, first_line
from diffmask.video.clip.clip import VIDEO_SUFFIXES
from diffmask.video.clip.frames import with_frame_folders
from diffmask.video.clip.join_tables import listed_clips, names_clips
from diffmask.video.clip.manifests import NoListError

Sources = str | Path | Sequence[str | Path]


def list_videos(sources: Sources, left_out: Counter[str] | None = None) -> list[str]:
    """Return the absolute paths of the files that sources name, sorted, each once.

    A source is a file of any name, a folder (with its subfolders; hidden files and those that are not named as
    a video are left out), a glob, or a table or list (.csv, .jsonl, .txt, ...) that names clips. Folders that links in
    it lead to are part of a folder. A folder of numbered images and nothing else is a clip itself.

    Args:
        sources: The sources.
        left_out: Gets the number of files that folders hold beside videos, by their suffixes.

    Raises:
        InputError: If a source does not exist, or names no video.
    """
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    if not sources:
        raise InputError("no clips were given; name at least one file, folder or glob")
    once: dict[str, str] = {}
    for source in sources:
        for path in _expand(str(source), Counter() if left_out is None else left_out):
            once.setdefault(os.path.realpath(path), os.path.abspath(path))
    for path in once.values():
        try:
            path.encode()
        except UnicodeEncodeError as error:
            name = path.encode(errors="backslashreplace").decode()
            raise InputError(f"the name of {name} is not UTF-8; rename the file") from error
    return sorted(once.values())


def _expand(source: str, left_out: Counter[str]) -> list[str]:
    if names_clips(source):
        with suppress(NoListError):  # who names a file means it
            return listed_clips(source)
    if os.path.lexists(source) and not os.path.isdir(source):
        return [source]
    if not os.path.isdir(source) and not glob.has_magic(source):
        raise InputError(f"{source} does not exist; check the path")
    paths: list[str] = []
    for path, is_folder in with_frame_folders(files_of(source, refuse=True)):
        if is_folder or path.lower().endswith(VIDEO_SUFFIXES):
            paths.append(path)
        else:
            left_out[os.path.splitext(path)[1].lower() or "without a suffix"] += 1
    if not paths:
        what = f"folder {source} has no video" if os.path.isdir(source) else f"no video matches {source}"
        raise InputError(f"{what}; looked for files named {', '.join(VIDEO_SUFFIXES)}, and folders of numbered images")
    return paths


def files_of(source: str, *, refuse: bool = False) -> Iterator[str]:
    """Yield the files that a source names, no matter what they hold, and a name that is not a file.

    Hidden files and folders are left out; folders that links lead to come last, and each folder once.

    Args:
        source: A file, folder or glob.
        refuse: Raise for a folder that may not be read.
    """

    def fail(error: OSError) -> None:
        raise InputError(f"folder {error.filename} may not be read ({error.strerror})") from error

    is_pattern = glob.has_magic(source) and not os.path.lexists(source)
    for match in glob.iglob(source, recursive=True) if is_pattern else [source]:
        if not os.path.isdir(match):
            yield match
            continue
        seen: set[str] = set()
        waiting = [match]
        while waiting:
            for here, folders, names in os.walk(waiting.pop(0), onerror=fail if refuse else None):
                folders[:] = [name for name in folders if not name.startswith(".")]
                if (place := os.path.realpath(here)) in seen:
                    folders[:] = []  # a link that leads in a circle, or where another led before
                    continue
                seen.add(place)
                links = sorted(path for name in folders if os.path.islink(path := os.path.join(here, name)))
                # one that leads to a folder above would make that a part of this one
                waiting += [path for path in links if not PurePath(place).is_relative_to(os.path.realpath(path))]
                yield from (os.path.join(here, name) for name in names if not name.startswith("."))


_INDEX_COLUMNS = {"path", "status", "num_frames", "fps"}
_TEXTS = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_COMPRESSIONS = (".gz", ".zst")
_SHARED = (".ts", ".mts")
"""Suffixes of MPEG streams and of TypeScript."""
_SYNC = 0x47
"""The byte that each packet of an MPEG stream begins with."""
_PACKETS = ((0, 188), (4, 192), (0, 204))
"""Where the first packet begins, and how long packets are, in each kind of MPEG stream."""


def are_clips(sources: Sequence[str | Path], expected: Callable[[], bool | None] | None = None) -> bool:
    """Tell whether sources are clips: indexes, videos, or folders and globs with more videos than texts.

    A text that is named after a video beside it belongs to the video, and is not counted.

    Args:
        sources: Files, folders or globs; files are recognised by their names, an index by its columns.
        expected: Asked if there are both: returns True if clips are meant, False if texts, None if it cannot tell.
    """
    found = dict(each for source in sources for each in with_frame_folders(files_of(str(source))))
    paths = list(found)
    videos = {path for path, is_folder in found.items() if is_folder or _holds_video(path)}
    stems = {os.path.splitext(path)[0] for path in videos}
    num_texts = sum(path not in videos and _is_text(path) and not _stands_beside(path, stems) for path in paths)
    if videos and num_texts and expected is not None and (answer := expected()) is not None:
        return answer
    return 0 < len(videos) >= num_texts


def refuse_nothing(sources: Sequence[str | Path]) -> None:
    """Refuse sources that do not exist, are empty, or are a table that cannot be read.

    Raises:
        InputError: If there is one.
    """
    for source in map(str, sources):
        if os.path.isdir(source):
            if next(files_of(source), None) is None:
                raise InputError(f"folder {source} has no files; check the path")
        elif not os.path.lexists(source) and not (glob.has_magic(source) and glob.glob(source, recursive=True)):
            what = "matches no file" if glob.has_magic(source) else "does not exist"
            raise InputError(f"{source} {what}; check the path")
        elif source.endswith(".parquet") and isinstance(reason := _read_columns(source), str):
            raise InputError(f"{source} is not a table that can be read ({reason}); make it again")


def _holds_video(path: str) -> bool:
    if path.endswith(".parquet"):
        columns = _read_columns(path)
        return isinstance(columns, set) and columns >= _INDEX_COLUMNS
    lowered = path.lower()
    return _is_stream(path) if lowered.endswith(_SHARED) else lowered.endswith(VIDEO_SUFFIXES)


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
    """Tell whether a file is named after a video, with more behind a dot."""
    folder, name = os.path.split(path)
    return any(os.path.join(folder, name[:place]) in stems for place, char in enumerate(name) if char == ".")


def _read_columns(path: str) -> set[str] | str:
    """Return the columns of a Parquet file, or why it cannot be read."""
    import pyarrow
    from pyarrow import parquet

    try:
        return set(parquet.read_schema(path).names)
    except (pyarrow.ArrowInvalid, OSError) as error:
        return first_line(error)
