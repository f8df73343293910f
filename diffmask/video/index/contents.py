"""What a container says of its video: its packets and their times, without decoding more than one frame."""

import bisect
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import av
import av.error

from diffmask.video.clip.clip import Clip
from diffmask.video.read.read_pyav import Orientation, video_stream

_CUT_SHORT_SECONDS = 1.0
_CUT_SHORT_SHARE = 0.05
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_AVI = "avi"
_DECLARE_SECONDS = (_MP4, _AVI, "matroska,webm", "flv")
"""Containers that say at their beginning how long they are; of others, FFmpeg looks at the end or guesses, and an ASF
counts from another zero than its packets do."""
_LIST_FRAMES = (_MP4, _AVI)
"""Containers with a table of all frames, unless they are written piece by piece."""
_HAVE_INDEX = (_MP4, _AVI, "matroska,webm")
"""Containers in which key frames are found by an index; in others, FFmpeg jumps about where it supposes them."""


MIN_SIDE = 16
"""The smaller side of a clip must hold a patch."""
WHOLE_PIXELS = 2_000_000_000
"""Clips of more pixels (about two minutes of 640x360 at 30 frames a second) are decoded here and there only."""


class Unusable(Exception):  # noqa: N818 - not an error of a program but what a file turns out to be
    """A file that is put aside.

    Args:
        status: One of `clip.STATUSES`.
        reason: One sentence.
        clip: What is known of it so far.
    """

    def __init__(self, status: str, reason: str, clip: Clip | None = None):
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.clip = clip


class Packet(NamedTuple):
    """A packet of a frame; times are in units of the stream, None if the container does not say them."""

    shown: int | None
    decoded: int | None
    is_key: bool


@dataclass(frozen=True)
class Contents:
    """What a container says of its video."""

    codec: str
    width: int
    height: int
    orientation: Orientation
    rates: tuple[float, ...]
    """Frames per second as the container declares them in several ways, likely ones first."""
    unit: float
    """Seconds in one unit of time."""
    packets: list[Packet]
    """Those of frames that are shown, in the order in which they are decoded."""
    num_hidden: int
    """Packets of frames that an edit list has decoded but not shown, which are not among these."""
    num_declared: int
    """Frames that the container declares; 0 if it does not."""
    has_index: bool
    """Whether the container has an index of key frames."""
    has_times: bool
    """Whether it says when frames are shown; if not, FFmpeg concludes it from the order in which they are decoded."""
    is_cut_short: bool

    @cached_property
    def times(self) -> list[int]:
        """When each frame is shown, in ascending units of time; empty if the container does not say it of all."""
        return _sorted_times(self.packets)

    @property
    def num_packets(self) -> int:
        """Packets of frames that are shown."""
        return len(self.packets)

    @property
    def key_frames(self) -> list[int]:
        """The numbers of the key frames but the first, as far as the container gives them."""
        return [shown for _, shown in self._key_places() if shown > 0]

    @property
    def key_times(self) -> set[int | None]:
        """When the frames are shown that it calls key frames."""
        return {each.shown for each in self.packets if each.is_key}

    @property
    def has_plain_keys(self) -> bool:
        """Whether the frames before each key frame are decoded and shown before it, and those after it, after it.

        And whether the last key frame that is decoded by the time at which one is shown is that one.
        """
        keys = [each for each in self.packets if each.is_key]
        are_found = all(
            after.decoded is None or (before.shown is not None and before.shown < after.decoded)
            for before, after in zip(keys, keys[1:], strict=False)
        )
        return are_found and all(decoded == shown for decoded, shown in self._key_places())

    def _key_places(self) -> list[tuple[int, int]]:
        if not self.times:
            return []
        keys = ((place, each.shown) for place, each in enumerate(self.packets) if each.is_key)
        return [(place, bisect.bisect_left(self.times, time)) for place, time in keys if time is not None]

    @property
    def is_reordered(self) -> bool:
        """Whether frames are decoded in another order than they are shown."""
        return [each.shown for each in self.packets] != self.times

    def facts(self) -> dict[str, Any]:
        """Return the fields of a clip that follow from the container."""
        return {
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "rotation": self.orientation.rotation,
            "mirrored": self.orientation.mirrored,
            "edit_list": self.num_hidden > 0,
            "num_frames": self.num_packets,
        }


def read_contents(path: str) -> Contents:
    """Return what the container of a file says.

    Raises:
        Unusable: If there is no stream of video in it, or not one frame can be decoded.
    """
    with av.open(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise Unusable("no-video", "it has no stream of video")
        orientation, height, width = _first_frame(path)
        num_listed = len(stream.index_entries) if container.format.name in _LIST_FRAMES else 0
        packets, num_hidden, end = [], 0, 0.0
        for packet in container.demux():
            shown = packet.dts if packet.pts is None else packet.pts
            if shown is not None:  # the last packet of each stream is empty
                end = max(end, float((shown + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == stream.index and packet.size:
                num_hidden += packet.is_discard
                packets += [] if packet.is_discard else [Packet(packet.pts, packet.dts, packet.is_keyframe)]
        # the table of an AVI leaves out frames that are shown twice, and its declared number does not
        num_promised = num_listed if num_listed > 1 else stream.frames
        is_whole = 0 < num_promised <= len(packets) + num_hidden
        step = _longest_step(stream, _sorted_times(packets))
        is_cut_short = _lacks_bytes(stream, container.size) or (not is_whole and _lacks_seconds(container, end, step))
        return Contents(
            codec=stream.codec_context.codec.canonical_name,
            width=width,
            height=height,
            orientation=orientation,
            rates=tuple(float(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate),
            unit=float(stream.time_base),
            packets=packets,
            num_hidden=num_hidden,
            num_declared=stream.frames,
            has_index=container.format.name in _HAVE_INDEX,
            has_times=container.format.name != _AVI,
            is_cut_short=is_cut_short,
        )


def _sorted_times(packets: Sequence[Packet]) -> list[int]:
    known = sorted(each.shown for each in packets if each.shown is not None)
    return known if len(known) == len(packets) else []


def is_mp4_without_table(path: str) -> bool:
    """Tell whether a file begins as an MP4 and lacks the table of its frames."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[4:8] == b"ftyp" and content.find(b"moov") < 0


def _first_frame(path: str) -> tuple[Orientation, int, int]:
    """Return orientation and upright height and width of the first frame that can be decoded."""
    with av.open(path) as container:
        try:
            frame = next(container.decode(video_stream(container)), None)
        except av.error.FFmpegError as error:
            raise Unusable("corrupt", f"its first frame cannot be decoded ({error.strerror})") from error
        if frame is None:
            raise Unusable("no-video", "its stream of video has no frame that can be decoded")
        orientation = Orientation.of_frame(frame)
        if orientation is None:
            raise Unusable("tilted", "it is to be shown turned by an angle that is no quarter of a turn")
        return orientation, *orientation.upright(frame).shape[:2]


def _lacks_bytes(stream: Any, size: int) -> bool:
    """Tell whether the container lists a packet beyond the end of the file."""
    return any(entry.pos + entry.size > size for entry in stream.index_entries if entry.pos >= 0)


def _longest_step(stream: Any, times: Sequence[int]) -> float:
    """Return the most seconds for which the container shows a frame; 0 if it does not say it."""
    steps = (after - before for before, after in zip(times, times[1:], strict=False))
    return float(max(steps, default=0) * stream.time_base)


def _lacks_seconds(container: Any, end: float, step: float) -> bool:
    """Tell whether all streams end long before the container says, as in a file that was cut short.

    Args:
        container: The open file.
        end: Seconds at which the last of its packets ends, which may lack its duration.
        step: The most seconds for which it shows a frame.
    """
    if container.duration is None or container.format.name not in _DECLARE_SECONDS:
        return False
    seconds = container.duration / av.time_base
    # writers count the seconds from zero or from the first packet, and no file tells which
    end = max(end, end - (container.start_time or 0) / av.time_base)
    return seconds - end > max(_CUT_SHORT_SECONDS, _CUT_SHORT_SHARE * seconds, step)
