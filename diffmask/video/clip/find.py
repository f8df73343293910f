"""Files of video: which ones a folder, a glob or a name stands for.

Which clip a name in a table means: its whole path, or the end of one, with or without the suffix of the file.

What data are: clips, or something else.
"""

import glob
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from diffmask.core.errors import InputError

SUFFIXES = tuple(".3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob .webm .wmv".split())
"""Names by which files of video are known in folders."""

Sources = str | Path | Sequence[str | Path]


def list_videos(sources: Sources) -> list[str]:
    """Return the absolute paths of the files that sources name, sorted, each once.

    A source is a file, whatever its name, a folder (with its subfolders; hidden files and those that are not named as
    a video are left out) or a glob.

    Raises:
        InputError: If a source does not exist, or names no video.
    """
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    if not sources:
        raise InputError("no clips were given; name at least one file, folder or glob")
    once: dict[str, str] = {}
    for source in sources:
        for path in _expand(str(source)):
            once.setdefault(os.path.realpath(path), os.path.abspath(path))
    for path in once.values():
        try:
            path.encode()
        except UnicodeEncodeError as error:
            name = path.encode(errors="backslashreplace").decode()
            raise InputError(f"the name of {name} is not UTF-8; rename the file") from error
    return sorted(once.values())


def _expand(source: str) -> list[str]:
    if os.path.isdir(source):
        found = list(_walk(source))
        if not found:
            raise InputError(f"folder {source} has no video; looked for files named {', '.join(SUFFIXES)}")
        return found
    if os.path.lexists(source):
        return [source]
    if not glob.has_magic(source):
        raise InputError(f"{source} does not exist; check the path")
    matches = glob.glob(source, recursive=True)
    found = [path for match in matches for path in (_walk(match) if os.path.isdir(match) else [match])]
    found = [path for path in found if _is_video(path)]
    if not found:
        raise InputError(f"no video matches {source}; looked for files named {', '.join(SUFFIXES)}")
    return found


def _walk(folder: str) -> Iterator[str]:
    """Yield the videos in a folder; links to folders are not followed, which could lead back to it."""

    def refuse(error: OSError) -> None:
        raise InputError(f"folder {error.filename} may not be read ({error.strerror})") from error

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(here, name) for name in names if not name.startswith(".") and _is_video(name))


def _is_video(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


class ClipNames:
    """What tables call clips: a path, or any end of one ("train/0001.mp4", "0001.mp4"), also without the suffix.

    Args:
        paths: Paths of the clips.
    """

    def __init__(self, paths: Iterable[str]):
        self._whole: dict[str, str] = {}
        self._full: dict[str, list[str]] = defaultdict(list)
        self._bare: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            self._whole[os.path.abspath(path)] = path
            self._full[os.path.basename(path)].append(path)
            self._bare[PurePath(path).stem].append(path)

    def find(self, name: object) -> list[str]:
        """Return the clips that a name could mean: by the whole path, else by an end with the suffix, else without."""
        text = "" if name is None else str(name).strip()
        if not text:
            return []
        if os.path.abspath(text) in self._whole:
            return [self._whole[os.path.abspath(text)]]
        *folders, last = PurePath(os.path.normpath(text)).parts or ("",)
        folders = tuple(folder for folder in folders if folder not in ("..", "."))

        def ends_so(path: str) -> bool:
            return not folders or PurePath(path).parts[:-1][-len(folders) :] == folders

        return next(filter(None, (list(filter(ends_so, each.get(last, []))) for each in (self._full, self._bare))), [])


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
    videos = {path for path in paths if _holds_video(path)}
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


def _holds_video(path: str) -> bool:
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
