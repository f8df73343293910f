"""What is in a file of video, and which reader reads it correctly. It may hang or crash: see `probe_all`.

First the container is read: its packets and their times. Then PyAV decodes the frames in order, which no reader gets
wrong; their times say how a frame can be found without decoding all before it. A reader is right if it gives the same
frames when it is asked for some of them here and there, as training does.
"""

import bisect
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import av
import av.error

from diffmask.video.clip.clip import OK, Clip, ReadError
from diffmask.video.index.compare_readers import Reference
from diffmask.video.read.read_pyav import Orientation, PyAVSource, reason_of, video_stream

_CUT_SHORT_SECONDS = 1.0
_CUT_SHORT_SHARE = 0.05
_DECLARE_SECONDS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "asf")
"""Containers that say at their beginning how long they are; of others, FFmpeg looks at the end or guesses."""


class _Unusable(Exception):  # noqa: N818 - not an error of a program but what a file turns out to be
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


@dataclass(frozen=True)
class _Contents:
    """What a container says of its video, without decoding more than one frame."""

    codec: str
    width: int
    height: int
    orientation: Orientation
    rates: tuple[float, ...]
    """Frames per second as the container declares them in several ways, likely ones first."""
    unit: float
    """Seconds in one unit of time."""
    times: list[int]
    """When each frame is shown, in ascending units of time; empty if the container does not say it of all."""
    keys: list[int]
    """Those of these times at which key frames are shown."""
    keys_in_place: bool
    """Whether as many frames are decoded before each key frame as are shown before it."""
    num_packets: int
    """Packets of frames that are shown."""
    num_hidden: int
    """Packets of frames that an edit list has decoded but not shown."""
    num_declared: int
    """Frames that the container declares; 0 if it does not."""
    is_cut_short: bool

    @property
    def key_frames(self) -> list[int]:
        """The numbers of the key frames but the first, as far as the container gives them."""
        return [place for place in (bisect.bisect_left(self.times, key) for key in self.keys) if place > 0]

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


def _read_contents(path: str) -> _Contents:
    """Return what the container of a file says.

    Raises:
        _Unusable: If there is no stream of video in it, or not one frame can be decoded.
    """
    with av.open(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise _Unusable("no-video", "it has no stream of video")
        orientation, height, width = _first_frame(path)
        times, keys, num_hidden, end = [], [], 0, 0.0
        for packet in container.demux():
            shown = packet.dts if packet.pts is None else packet.pts
            if shown is not None:  # the last packet of each stream is empty
                end = max(end, float((shown + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == stream.index and packet.size:
                num_hidden += packet.is_discard
                times += [] if packet.is_discard else [packet.pts]
                keys += [(len(times) - 1, packet.pts)] if packet.is_keyframe and not packet.is_discard else []
        num_found = len(times) + num_hidden
        shown_at = [] if None in times else sorted(times)
        is_cut_short = _lacks_bytes(stream, container.size) or (
            not 0 < stream.frames <= num_found and _lacks_seconds(container, end, _longest_step(stream, shown_at))
        )
        rates = [float(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
        return _Contents(
            codec=stream.codec_context.codec.canonical_name,
            width=width,
            height=height,
            orientation=orientation,
            rates=tuple(rates),
            unit=float(stream.time_base),
            times=shown_at,
            keys=[key for _, key in keys] if shown_at else [],
            keys_in_place=bool(shown_at) and all(bisect.bisect_left(shown_at, key) == place for place, key in keys),
            num_packets=len(times),
            num_hidden=num_hidden,
            num_declared=stream.frames,
            is_cut_short=is_cut_short,
        )


def _is_mp4_without_table(path: str) -> bool:
    """Tell whether a file begins as an MP4 and lacks the table of its frames."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[4:8] == b"ftyp" and content.find(b"moov") < 0


def _first_frame(path: str) -> tuple[Orientation, int, int]:
    """Return orientation and upright height and width of the first frame that can be decoded."""
    with av.open(path) as container:
        try:
            frame = next(container.decode(video_stream(container)), None)
        except av.error.FFmpegError as error:
            raise _Unusable("corrupt", f"its first frame cannot be decoded ({error.strerror})") from error
        if frame is None:
            raise _Unusable("no-video", "its stream of video has no frame that can be decoded")
        orientation = Orientation.of_frame(frame)
        if orientation is None:
            raise _Unusable("tilted", "it is to be shown turned by an angle that is no quarter of a turn")
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


_TOLERANCE = 0.2
"""How far from its place at a steady rate a frame may be shown, in frames: containers round times."""


def _find_timing(clip: Clip, times: Sequence[int | None], contents: _Contents) -> Clip:
    """Return a clip with its rate, its length and how PyAV finds a frame.

    Args:
        clip: The clip.
        times: When each frame is shown, in units of the stream, in the order of decoding.
        contents: What the container says of it.
    """
    known = [time for time in times if time is not None]
    num_frames = len(times)
    declared = contents.rates[0] if contents.rates else 0.0
    if len(known) < num_frames or any(after <= before for before, after in zip(known, known[1:], strict=False)):
        duration = num_frames / declared if declared else 0.0
        return replace(clip, num_frames=num_frames, fps=declared, duration=duration, seeking="count")
    seconds = [time * contents.unit for time in known]
    measured = (num_frames - 1) / (seconds[-1] - seconds[0]) if num_frames > 1 else declared
    steady = next((rate for rate in (*contents.rates, measured) if _is_steady(seconds, rate)), None)
    in_table = "table" if known == contents.times else "count"
    fps = steady or measured
    return replace(
        clip,
        num_frames=num_frames,
        fps=fps,
        duration=seconds[-1] - seconds[0] + (1 / fps if fps else 0.0),
        first_pts=seconds[0],
        seeking="rate" if steady else in_table,
    )


def _is_steady(seconds: Sequence[float], rate: float) -> bool:
    if not rate:
        return False
    return all(abs(time - seconds[0] - index / rate) * rate < _TOLERANCE for index, time in enumerate(seconds))


_HEAD_BYTES = 1 << 16
_MIN_SIDE = 16
"""The smaller side of a clip must hold a patch."""
_WHOLE_PIXELS = 2_000_000_000
"""Clips of more pixels (about two minutes of 640x360 at 30 frames a second) are decoded here and there only."""


def examine(path: str, reader: str = "auto") -> Iterator[Clip]:
    """Yield what is known of a file, more each time; the last one counts, also when a later step hangs or crashes.

    A clip without a reader has no verdict yet.

    Args:
        path: The file.
        reader: The only reader to try, or "auto".
    """
    try:
        clip = _check_file(path)
        yield clip
        try:
            contents = _read_contents(path)
        except (OSError, av.error.FFmpegError) as error:
            raise _Unusable("unreadable", _why_unreadable(path, reason_of(error))) from error
        clip = replace(clip, **contents.facts())
        yield clip
        clip, reference = _read_frames(clip, contents)
        yield from _choose_reader(clip, contents, reference, reader)
    except _Unusable as refusal:
        yield replace(refusal.clip or Clip.of_file(path), status=refusal.status, reason=refusal.reason)


def _check_file(path: str) -> Clip:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            what = "folder" if stat.S_ISDIR(status.st_mode) else "pipe or a device"
            raise _Unusable("not-a-file", f"it is a {what}, not a file")
        if status.st_size == 0:
            raise _Unusable("empty", "the file is empty (0 bytes)")
        with open(path, "rb"):
            return Clip(path, OK, size=status.st_size, mtime=status.st_mtime)
    except PermissionError as error:
        raise _Unusable("no-permission", "the file may not be read (permission denied)") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _Unusable("missing", "the file is not there") from error


def _why_unreadable(path: str, reason: str) -> str:
    if _is_mp4_without_table(path):
        return "it has no table of frames (the box 'moov' of an MP4), as a file that was cut short"
    with open(path, "rb") as file:
        is_text = not any(byte < ord("\t") for byte in file.read(_HEAD_BYTES))
    if is_text:
        return "it holds text, not video"
    return f"FFmpeg finds no video in it ({reason})"


def _read_frames(clip: Clip, contents: _Contents) -> tuple[Clip, Reference]:
    """Decode a clip, or places of it, and return it with the frames that readers must give."""
    if min(clip.width, clip.height) < _MIN_SIDE:
        reason = f"its frames are {clip.width}x{clip.height}; the smaller side must have at least {_MIN_SIDE} pixels"
        raise _Unusable("too-small", reason, clip)
    if contents.is_cut_short:
        count = f"{contents.num_packets} of {contents.num_declared}" if contents.num_declared else contents.num_packets
        raise _Unusable("corrupt", f"the file was cut short after {count} frames", clip)
    reference = Reference(contents.num_packets, contents.key_frames, contents.orientation)
    if contents.num_packets * clip.width * clip.height > _WHOLE_PIXELS and contents.times:
        clip = _find_timing(clip, contents.times, contents)
        try:
            source = PyAVSource(clip)
            for place in reference.places:
                reference.add(place, source.frames([place])[0])
            source.close()
        except ReadError as error:
            raise _Unusable("corrupt", f"a part of it cannot be decoded ({error.reason})", clip) from error
        return clip, reference
    times, failure = reference.decode(clip.path)
    clip = replace(clip, num_frames=len(times))
    if failure:
        decoded = f"{len(times)} of {contents.num_declared or contents.num_packets} frames can be decoded"
        raise _Unusable("corrupt", f"{decoded} ({failure})", clip)
    if reference.num_damaged:
        raise _Unusable("corrupt", f"{reference.num_damaged} of {len(times)} frames are damaged", clip)
    if not times:
        raise _Unusable("no-video", "no frame of its video can be decoded", clip)
    return _find_timing(clip, times, contents), reference


def _why_not_trusted(clip: Clip, contents: _Contents, reader: str) -> str:
    """Return why a reader other than PyAV may be wrong where it was not asked, as the rest of a sentence; or ""."""
    if clip.seeking == "count":
        return "would look for frames by their time stamps, and some of these are missing, repeat or jump back"
    if reader == "decord" and clip.mirrored:
        return "does not mirror frames"
    if reader == "decord" and not contents.keys_in_place:
        return "counts frames from key frames, and some of these are decoded before frames that are shown earlier"
    return ""


def _choose_reader(clip: Clip, contents: _Contents, reference: Reference, reader: str) -> Iterator[Clip]:
    """Yield the clip with PyAV, which is right in any case, then with the reader to use."""
    if clip.seeking != "count" and reference.disagreement(clip, "pyav"):
        clip = replace(clip, seeking="count")
    if reader in ("auto", "pyav"):
        clip = replace(clip, reader="pyav")
        yield clip
    if reader == "pyav":
        return
    wanted = "decord" if reader == "auto" else reader
    wrong = reference.disagreement(clip, wanted) or _why_not_trusted(clip, contents, wanted)
    if not wrong:
        yield replace(clip, reader=wanted, reason="")
    elif reader == "auto":
        yield replace(clip, reason=f"decord {wrong}")
    else:
        yield replace(clip, status="wrong-frames", reason=f"{wanted} {wrong}; index it with --reader auto")
