"""A clip: what is known of a file of video, or of a folder of images; and the error for one that cannot be read."""

import ast
import hashlib
import os
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from diffmask.video.clip.frames import image_files, state_of

VIDEO_SUFFIXES = tuple(
    ".3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob .webm .wmv".split()
)
"""How files of video in folders are recognised."""
OK = "ok"
RULES = 2
"""Version of the rules by which files are probed; a clip that was probed by older ones is probed again."""
STATUSES = {
    OK: "can be used",
    "missing": "the file is not there",
    "not-a-file": "a folder (but for one of numbered images), a pipe or a device",
    "no-permission": "the file may not be read",
    "empty": "the file has no bytes",
    "unreadable": "no video that FFmpeg can open",
    "no-video": "no stream of video in it, or no frame in the stream",
    "corrupt": "a part of it cannot be decoded, or is not there",
    "mixed-sizes": "a folder of images that differ in size",
    "too-small": "smaller than a patch",
    "tilted": "to be shown turned by an angle that is no quarter of a turn",
    "timeout": "the time limit was over before its frames were read",
    "crashed": "the decoder crashed",
    "wrong-frames": "the reader that was asked for reads other frames than the clip holds",
}
"""What may be wrong with a clip."""
_ROTATIONS, _SEEKING = (0, 90, 180, 270), ("rate", "table", "count")
NOT_THERE = "is not there"
"""What the reason of a clip that PyAV reads says of decord if it is not installed."""
TOO_SLOW = "took longer than"
"""What a reason says of decord, or of probing, if the time limit was over."""
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Clip:
    """A file of video: what it holds and how to read it, or why it cannot be used.

    `size` and `mtime` say which content was probed. Sizes are those of the upright frame, in pixels as stored.
    """

    path: str
    status: str
    """One of `STATUSES`; only "ok" is used."""
    reason: str = ""
    """What is wrong with it; of a clip that can be used, why the reader of first choice does not read it."""
    reader: str = ""
    """The reader that gives its frames exactly: "decord", "pyav" or "torchcodec", or "frames" of a folder of images."""
    num_frames: int = 0
    fps: float = 0.0
    duration: float = 0.0
    """Seconds from the first frame to the end of the last one."""
    width: int = 0
    height: int = 0
    rotation: int = 0
    """Degrees clockwise, 0, 90, 180 or 270, that bring the stored frames upright."""
    mirrored: bool = False
    """Whether the stored frames are mirrored, left to right, before they are turned by `rotation`."""
    codec: str = ""
    first_pts: float = 0.0
    """Time at which the first frame is shown, in seconds."""
    edit_list: bool = False
    """Whether the container hides frames that must be decoded (an edit list, as cutting without encoding leaves)."""
    size: int = 0
    """Bytes of the file, or of all images."""
    mtime: float = 0.0
    caption: str | None = None
    label: str | None = None
    """Its label; of a clip with several, a JSON list of them."""
    split: str | None = None
    seeking: str = "count"
    """How PyAV finds frame i: at the time first_pts + i / fps ("rate"), at the i-th of the times in the container
    ("table"), or by counting frames from the start ("count")."""
    rules: int = RULES
    """Version of the rules by which it was probed."""

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return Path(self.path).stem

    @property
    def labels(self) -> list[str] | None:
        """Its labels, if what was said of it is a list."""
        return labels_of(self.label)

    @property
    def is_ok(self) -> bool:
        """Whether its frames can be read."""
        return self.status == OK

    @property
    def why_not_decord(self) -> str:
        """Why PyAV is its reader: `NOT_THERE`, `TOO_SLOW` or "is wrong"; "" if it is not for one of these reasons."""
        if not self.is_ok or not self.reason:
            return ""
        return next((why for why in (NOT_THERE, TOO_SLOW) if self.reason.startswith(f"decord {why}")), "is wrong")

    def put_aside(self, status: str, reason: str) -> Self:
        """Return the clip as one that cannot be used."""
        return replace(self, status=status, reason=reason, reader="")

    def with_reason(self, reason: str) -> Self:
        """Return the clip with why its reader was chosen."""
        return replace(self, reason=reason)

    def to_row(self) -> dict[str, Any]:
        """Return its fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def of_file(cls, path: str) -> Self:
        """Return a clip that cannot be used so far, with what the file system says of its file."""
        try:
            size, mtime = state_of(path)
        except OSError:
            return cls(path, "missing")
        return cls(path, "unreadable", size=size, mtime=mtime)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Return the clip of a row; other columns are ignored, and the first rules knew no version."""
        known = {each.name: row[each.name] for each in fields(cls) if each.name in row}
        return cls(**{"rules": 1, **known})

    def fault(self) -> str | None:
        """Return what a clip cannot be, None if all of it can; a damaged or hand-made index may say anything."""
        if not self.path or "\0" in self.path or self.status not in STATUSES:
            return f"the status of {self.path!r} is {self.status!r}" if self.path else "a clip has no path"
        numbers = (self.num_frames, self.fps, self.duration, self.width, self.height, self.size)
        if min(numbers) < 0 or self.rotation not in _ROTATIONS or self.seeking not in _SEEKING:
            return f"{self.path} has a number below 0, or a rotation or a way of seeking that does not exist"
        return None

    def matches(self, state: tuple[int, float]) -> bool:
        """Tell whether a file, of this `state_of`, is unchanged since it was probed."""
        return (self.size, self.mtime) == state


@lru_cache(maxsize=1 << 20)  # a clip may have twenty captions, and each asks
def content_hash(clip: Clip) -> bytes:
    """Return 128 bits that the file's size and beginning decide, so that copies of a clip are known as one."""
    try:
        with open(image_files(clip.path)[0][1] if os.path.isdir(clip.path) else clip.path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, IndexError):
        head = clip.path.encode()  # it is gone; reading it will say so
    return hashlib.blake2b(head + str(clip.size).encode(), digest_size=16).digest()


def labels_of(value: Any) -> list[str] | None:
    """Return the labels of a list, or of a text that is one as JSON or Python write it; None for anything else.

    >>> labels_of(["a", 2, None]), labels_of("['a', 'b']"), labels_of("a, b"), labels_of("[x]")
    (['a', '2'], ['a', 'b'], None, None)
    """
    if isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]"):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    if not isinstance(value, list | tuple):
        return None
    if not all(each is None or isinstance(each, str | int | float) for each in value):
        return None
    names = (str(each).strip() for each in value if each is not None)
    return [name for name in names if name]


class ReadError(Exception):
    """Frames of one clip cannot be read; the run continues without them."""

    def __init__(self, path: str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)
