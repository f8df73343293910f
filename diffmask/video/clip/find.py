"""Files of video: which ones a folder, a glob or a name stands for."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

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
