"""What a container says of its video: its packets and their times, without decoding more than one frame."""

import bisect
import mmap
from dataclasses import dataclass
from typing import Any

import av
import av.error

from diffmask.video.clip.clip import Clip
from diffmask.video.read.read_pyav import upright, video_stream

_CUT_SHORT_SECONDS = 1.0
_CUT_SHORT_SHARE = 0.05


class Unusable(Exception):  # noqa: N818 - not an error of a program but what a file turns out to be
    """A file that is put aside.

    Args:
        status: One of `clip.STATUSES`.
        reason: One sentence.
        found: What else is known of it.
    """

    def __init__(self, status: str, reason: str, found: Clip | None = None):
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.found = found


@dataclass(frozen=True)
class Contents:
    """A stream of video as its container describes it."""

    codec: str
    width: int
    height: int
    rotation: int
    rates: tuple[float, ...]
    """Frames per second as declared in one way or another, likely ones first."""
    unit: float
    """Seconds of one unit of time."""
    times: list[int]
    """When frames are shown, in order, in units; empty if the container does not tell all of them."""
    keys: list[int]
    """Which of these times are those of key frames."""
    num_packets: int
    """Of frames that are shown."""
    num_hidden: int
    """Packets of frames that are decoded and not shown, as an edit list says."""
    num_declared: int
    """Frames that the container declares; 0 if it does not."""
    is_cut_short: bool

    @property
    def key_frames(self) -> list[int]:
        """The numbers of the key frames, without the first frame, as far as the container tells them."""
        return [place for place in (bisect.bisect_left(self.times, key) for key in self.keys) if place > 0]

    def facts(self) -> dict[str, Any]:
        """Return the fields of a clip that are known from them."""
        return {
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "rotation": self.rotation,
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
        rotation, height, width = _first_frame(path)
        times, keys, num_hidden, end = [], [], 0, 0.0
        for packet in container.demux():
            if packet.dts is not None:  # the last one of each stream is empty
                end = max(end, float((packet.dts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == stream.index and packet.size:
                num_hidden += packet.is_discard
                times += [] if packet.is_discard else [packet.pts]
                keys += [packet.pts] if packet.is_keyframe and not packet.is_discard else []
        is_cut_short = _lacks_bytes(stream, container.size) or _lacks_seconds(container, end)
        rates = [float(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
        return Contents(
            codec=stream.codec_context.codec.canonical_name,
            width=width,
            height=height,
            rotation=rotation,
            rates=tuple(rates),
            unit=float(stream.time_base),
            times=[] if None in times else sorted(times),
            keys=[] if None in times else keys,
            num_packets=len(times),
            num_hidden=num_hidden,
            num_declared=stream.frames,
            is_cut_short=is_cut_short,
        )


def is_mp4_without_table(path: str) -> bool:
    """Tell whether a file begins as an MP4 and lacks the table of its frames."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[4:8] == b"ftyp" and content.find(b"moov") < 0


def _first_frame(path: str) -> tuple[int, int, int]:
    """Return rotation and upright height and width of the first frame that can be decoded."""
    with av.open(path) as container:
        try:
            frame = next(container.decode(video_stream(container)), None)
        except av.error.FFmpegError as error:
            raise Unusable("corrupt", f"its first frame cannot be decoded ({error.strerror})") from error
        if frame is None:
            raise Unusable("no-video", "its stream of video has no frame that can be decoded")
        # what the container says is how to turn it against the clock
        rotation = -round(frame.rotation / 90) * 90 % 360
        return rotation, *upright(frame, rotation).shape[:2]


def _lacks_bytes(stream: Any, size: int) -> bool:
    """Tell whether the container lists a packet that lies behind the end of the file."""
    return any(entry.pos + entry.size > size for entry in stream.index_entries if entry.pos >= 0)


def _lacks_seconds(container: Any, end: float) -> bool:
    """Tell whether all streams end long before the container does, as those of a file that was cut short."""
    if container.duration is None:
        return False
    seconds = container.duration / av.time_base
    start = (container.start_time or 0) / av.time_base
    return start + seconds - end > max(_CUT_SHORT_SECONDS, _CUT_SHORT_SHARE * seconds)
