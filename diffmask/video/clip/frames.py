"""Frames as a folder of images, such as TVQA's, as a clip: which folders are one, and their images in order."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
FRAMES = "frames"
"""Name of the reader of folders of images."""
FRAME_RATE = 3.0
"""Frames a second of a folder of images where no table says it: that of TVQA's."""
_NUMBERED = re.compile(r"(.*?)(\d+)\.[^.]+")


def is_frame_folder(path: str | os.PathLike) -> bool:
    """Tell whether a folder holds numbered images and nothing else; hidden files do not count."""
    try:
        with os.scandir(path) as entries:
            held = [entry for entry in entries if not entry.name.startswith(".")]
            return all(entry.is_file() for entry in held) and in_order([entry.name for entry in held]) is not None
    except OSError:
        return False


def in_order(names: Sequence[str]) -> list[tuple[int, str]] | None:
    """Return the numbers and names of images in the order of their numbers; None if they are no frames of one clip.

    >>> in_order(["2.jpg", "10.jpg", "1.jpg"])
    [(1, '1.jpg'), (2, '2.jpg'), (10, '10.jpg')]
    >>> in_order(["a1.jpg", "b2.jpg"]), in_order(["1.jpg", "01.jpg"]), in_order(["1.jpg", "2.txt"]), in_order(["1.jpg"])
    (None, None, None, None)
    """
    found = [_NUMBERED.fullmatch(name) for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    matches = [match for match in found if match is not None]
    if len(matches) < max(2, len(names)) or len({match[1] for match in matches}) > 1:
        return None
    numbered = sorted((int(match[2]), match[0]) for match in matches)
    return numbered if len({number for number, _ in numbered}) == len(numbered) else None


def image_files(folder: str) -> list[tuple[int, str]]:
    """Return the numbers and paths of a folder's images, in order; none if they are no frames of one clip.

    Raises:
        OSError: If the folder cannot be read.
    """
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    return [(number, os.path.join(folder, name)) for number, name in in_order(names) or ()]


def with_frame_folders(files: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield files, each with False; and, with True, folders that are clips in the place of the images in them.

    Args:
        files: Those of a folder one after the other; there may be millions of images, so they are not all held.
    """
    for folder, members in groupby(files, os.path.dirname):
        held = list(members)
        if in_order([os.path.basename(file) for file in held]) is not None and is_frame_folder(folder):
            yield folder, True
        else:
            yield from ((file, False) for file in held)


def is_clip_file(path: str | os.PathLike) -> bool:
    """Tell whether there is a file, or a folder of frames, at a path."""
    return os.path.isfile(path) or (os.path.isdir(path) and is_frame_folder(path))


def state_of(path: str) -> tuple[int, float]:
    """Return bytes and last change of a file, or of all images of a folder.

    Raises:
        OSError: If it is not there.
    """
    if not os.path.isdir(path):
        status = os.stat(path)
        return status.st_size, status.st_mtime
    with os.scandir(path) as entries:
        states = [entry.stat() for entry in entries if entry.name.lower().endswith(IMAGE_SUFFIXES)]
    return sum(state.st_size for state in states), max((state.st_mtime for state in states), default=0.0)
