"""What a folder holds that diffmask wrote, told by names: nothing else is ever deleted, and no link is followed."""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.lock import LOCK_FILE

_DRAFT = r"\.{name}\.[^/]*-[0-9]+(-[0-9a-f]+)?\.partial(\.old)?|{name}\.tmp"
"""Names of what was not finished, of this and of earlier versions."""


def first_foreign(folder: Path, own: Collection[str]) -> Path | None:
    """Return the first thing in a folder, at any depth, that is none of its own files; None if there is none.

    A link is never its own, and neither is a folder in the place of a file.

    Args:
        folder: The folder.
        own: Files that such a folder holds, by their paths in it; `*` stands for anything in a name, and `#` for a
            number. Drafts of them are its own too.
    """
    patterns = [[_part(name) for name in path.split("/")] for path in own]
    return next(_foreign(folder, patterns), None)


def _part(name: str) -> re.Pattern[str]:
    plain = _plain(name)
    return re.compile(f"{plain}|" + _DRAFT.replace("{name}", plain))


def _plain(name: str) -> str:
    return re.escape(name).replace(r"\*", "[^/]*").replace(r"\#", "[0-9]+")


def is_draft(path: Path, own: Collection[str]) -> bool:
    """Tell whether a path is a draft of one of the files or folders that the folder around it holds."""
    names = {_plain(each.partition("/")[0]) for each in own}
    return any(re.fullmatch(_DRAFT.replace("{name}", name), path.name) for name in names)


def remove_drafts(folder: Path, own: Collection[str]) -> None:
    """Delete what processes left that were killed while they wrote; whoever calls holds the folder's lock."""
    for path in [path for path in folder.iterdir() if is_draft(path, own)]:
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _foreign(folder: Path, patterns: list[list[re.Pattern[str]]]) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        below = [rest for first, *rest in patterns if first.fullmatch(entry.name)]
        if entry.is_dir(follow_symlinks=False) and any(below):
            yield from _foreign(Path(entry.path), [rest for rest in below if rest])
        elif not entry.is_file(follow_symlinks=False) or [] not in below:
            yield next(_files(Path(entry.path)), Path(entry.path))


def _files(path: Path) -> Iterator[Path]:
    """Yield the files below a folder that is no link."""
    for folder, _, names in os.walk(path) if not path.is_symlink() else ():
        yield from (Path(folder, name) for name in sorted(names))


def clear(folder: Path, own: Collection[str]) -> None:
    """Delete what a folder holds, if all of it is its own; the folder itself stays, and so does its lock.

    Args:
        folder: The folder.
        own: Its files, as for `first_foreign`.

    Raises:
        InputError: If it holds something else; nothing is deleted then.
    """
    foreign = first_foreign(folder, own)
    if foreign is not None:
        raise InputError(f"{foreign} was not written by diffmask, so {folder} is not deleted; move it elsewhere")
    for path in [path for path in folder.iterdir() if path.name != LOCK_FILE]:
        _remove(path)
