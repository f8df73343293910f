"""What tables call clips, and which clips are meant."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from urllib.parse import unquote, urlparse

from diffmask.video.clip.clip import VIDEO_SUFFIXES

_SEGMENT = re.compile(r"_\d{6}_\d{6}$")
"""What Kinetics adds to the name of a video: the seconds at which the clip begins and ends."""


class ClipNames:
    """What tables call clips: a path, or any end of one ("train/0001.mp4", "0001.mp4"), also without the suffix.

    Paths of Windows, URLs of files, %20 for a space, another suffix of a video (.avi for .mp4) and other spellings of
    the same characters are understood, where a name as it stands means no clip.

    Args:
        paths: Paths of the clips.
    """

    def __init__(self, paths: Iterable[str]):
        self._whole: dict[str, str] = {}
        # by the name, by the name without its suffix, and by that as far as it can be told apart
        self._by_name: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(3))
        self._of_video: dict[str, list[str]] = defaultdict(list)
        self._before_seconds: set[str] = set()
        """What stands before one number or two at the end of a name, where seconds of a video may stand."""
        for path in paths:
            stem = PurePath(path).stem
            self._whole[os.path.abspath(path)] = path
            for known, name in zip(self._by_name, (os.path.basename(path), stem, _folded(stem)), strict=True):
                known[name].append(path)
            self._of_video[_SEGMENT.sub("", stem)].append(path)
            self._before_seconds |= {_folded(stem.rsplit("_", num_parts)[0]) for num_parts in (1, 2) if "_" in stem}

    def find(self, name: object, num_dropped: int = 0) -> list[str]:
        """Return the clips that a name could mean: by the whole path, else by an end with the suffix, else without.

        Args:
            name: What a table says.
            num_dropped: How many folders at the start of the name are of another machine, and do not count.
        """
        text = "" if name is None else str(name).strip()
        return next(filter(None, (self._find(each, num_dropped) for each in readings(text))), [])

    def _find(self, text: str, num_dropped: int) -> list[str]:
        if os.path.abspath(text) in self._whole:
            return [self._whole[os.path.abspath(text)]]
        *folders, last = folders_of(text)[num_dropped:] or ("",)
        base, suffix = os.path.splitext(last)
        stem = base if suffix.lower() in VIDEO_SUFFIXES else last
        keys = (last, last, _folded(stem))

        def ends_so(path: str) -> bool:
            return not folders or list(PurePath(path).parts[:-1][-len(folders) :]) == folders

        found = (list(filter(ends_so, each.get(key, []))) for each, key in zip(self._by_name, keys, strict=True))
        return next(filter(None, found), [])

    def find_segment(self, name: object, start: object = None, end: object = None) -> list[str]:
        """Return the clips that are cut from a video: those of its seconds if they are named so, else all of it.

        Args:
            name: What a table calls the video.
            start: When the clip begins, in seconds; None if the table does not say.
            end: When it ends, likewise.
        """
        text = "" if name is None else str(name).strip()
        segments = _segment_names(text, start, end) if self._may_be_cut(text) else ()
        named = (self.find(each) for each in (*segments, text))
        return next(filter(None, named), []) or (self._of_video.get(text, []) if start is None else [])

    def _may_be_cut(self, name: str) -> bool:
        """Tell whether clips may be named after seconds of a video; most are not, and tables have many rows."""
        return any(_folded(os.path.basename(each)) in self._before_seconds for each in readings(name))

    def are_of_one_video(self, name: object, clips: list[str]) -> bool:
        """Tell whether clips are what `find_segment` returns of a video that is named as a whole."""
        return clips == self._of_video.get(str(name).strip()) and all(
            _SEGMENT.search(PurePath(clip).stem) for clip in clips
        )


def folders_of(name: str) -> tuple[str, ...]:
    """Return the parts of a path, its last one too, without those that lead upwards."""
    return tuple(part for part in PurePath(os.path.normpath(name)).parts if part not in ("..", "."))


def shared_folders(names: Iterable[str]) -> int:
    """Return how many folders all paths begin with."""
    parts = [folders_of(list(readings(name))[-1])[:-1] for name in names if name]
    return len(os.path.commonprefix(parts)) if parts else 0


def readings(text: str) -> Iterator[str]:
    """Yield a name as it stands, and what it says as a path of Windows or as a URL, if that is another."""
    if not text:
        return
    yield text
    plain = unquote(urlparse(text).path) if text.lower().startswith("file://") else unquote(text)
    plain = plain.replace("\\", "/")
    if plain != text and "\0" not in plain:
        yield plain


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _segment_names(name: str, start: object, end: object) -> Iterator[str]:
    """Yield the names that tools give to seconds of a video."""
    seconds = [_number(start), _number(end)]
    if not name or seconds[0] is None:
        return
    known = [each for each in seconds if each is not None]
    for shown in (known, known[:1]):
        for form in ("{:06.0f}", "{:.0f}", "{:.3f}", "{:.1f}", "{:g}"):
            yield "_".join([name, *(form.format(each) for each in shown)])
        yield "_".join([name, *(f"{1000 * each:.0f}" for each in shown)])


def _number(value: object) -> float | None:
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
