"""What a folder holds that diffmask wrote, told by names: nothing else is ever deleted, and no link is followed."""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from diffmask.core.errors import InputError
from diffmask.files.lock import LOCK_FILE

_DRAFTS = r"\.{name}\.[^/]*-[0-9]+(-[0-9a-f]+)?\.partial(\.old)?|{name}\.tmp"
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
    plain = re.escape(name).replace(r"\*", "[^/]*").replace(r"\#", "[0-9]+")
    return re.compile(f"{plain}|" + _DRAFTS.replace("{name}", plain))


def _foreign(folder: Path, patterns: list[list[re.Pattern[str]]]) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        below = [rest for first, *rest in patterns if first.fullmatch(entry.name)]
        if entry.is_dir(follow_symlinks=False) and any(below):
            yield from _foreign(Path(entry.path), [rest for rest in below if rest])
        elif not entry.is_file(follow_symlinks=False) or [] not in below:
            yield Path(entry.path)


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
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != LOCK_FILE:
            os.unlink(entry.path)
