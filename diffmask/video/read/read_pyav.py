"""Frames of a clip by PyAV: exact for every clip, no matter how its key frames are spaced.

A frame is known by the time at which it is shown, so edit lists, B-frames and clips that do not begin at zero give the
frames that a player shows. To reach a frame, decoding starts at the key frame before it.
"""

import bisect
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import av
import av.error
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Disposition

from diffmask.video.clip.clip import Clip, ReadError

_FAR_SECONDS = 10
"""A step of this length is worth a look for a key frame, though none is known in between."""
_TILT_DEGREES = 1.0
"""A frame that is to be turned by a quarter of a turn, give or take this, is turned by that quarter."""


def video_stream(container: Any) -> Any:
    """Return the stream that players choose, set to decode in this thread; None if the file has no video.

    A picture on the cover of a sound file is a stream too, and no video.
    """
    streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    stream = container.streams.best("video")
    if stream not in streams:
        stream = streams[0] if streams else None
    if stream is not None:
        stream.codec_context.thread_count = 1
        stream.thread_type = "NONE"
    return stream


@dataclass(frozen=True)
class Orientation:
    """How stored frames are brought upright: mirrored left to right if they must be, then turned."""

    rotation: int = 0
    """Degrees clockwise: 0, 90, 180 or 270."""
    mirrored: bool = False

    @classmethod
    def of_frame(cls, frame: Any) -> Self | None:
        """Return what the display matrix of a frame asks for; None if it turns it by anything but quarters."""
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
        if matrix is None:
            return cls()
        right_x, right_y, _, down_x, down_y = struct.unpack("=5i", bytes(matrix)[:20])
        mirrored = right_x * down_y - right_y * down_x < 0
        if mirrored:
            right_x, right_y = -right_x, -right_y
        degrees = math.degrees(math.atan2(right_y, right_x))
        rotation = round(degrees / 90) * 90
        return cls(rotation % 360, mirrored) if abs(degrees - rotation) <= _TILT_DEGREES else None

    def upright(self, frame: Any, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return the RGB values of a frame (H, W, 3), upright.

        Args:
            frame: A frame as PyAV decodes it.
            size: Width and height to scale it to before it is turned: a stream may change its size on the way.
        """
        if size and size != (frame.width, frame.height):
            frame = frame.reformat(width=size[0], height=size[1])
        values = frame.to_ndarray(format="rgb24")
        return np.rot90(values[:, ::-1] if self.mirrored else values, k=-(self.rotation // 90))


class PyAVSource:
    """The frames of one clip, which stays open until `close`."""

    def __init__(self, clip: Clip):
        self.num_frames = clip.num_frames
        self._clip = clip
        self._back = 0
        """How long before a frame to look next if it is not found from here, in units of the stream; 0 at the start."""
        self._orientation = Orientation(clip.rotation, clip.mirrored)
        self._coded_size = (clip.width, clip.height) if clip.rotation % 180 == 0 else (clip.height, clip.width)
        self._container: Any = None
        self._stream: Any = None
        try:
            self._open()
            self._table = _shown_times(clip.path) if clip.seeking == "table" else []
        except (OSError, av.error.FFmpegError) as error:
            self.close()
            raise ReadError(clip.path, reason_of(error)) from error
        if clip.seeking == "table" and len(self._table) != clip.num_frames:
            self.close()
            reason = f"it has {len(self._table)} frames, not {clip.num_frames}; index it again"
            raise ReadError(clip.path, reason)

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return frames (T, H, W, 3) of rising indices without repeats."""
        try:
            return np.stack([self._frame(index) for index in indices])
        except (OSError, av.error.FFmpegError) as error:
            raise ReadError(self._clip.path, reason_of(error)) from error

    def close(self) -> None:
        """Close the file."""
        # the generator that decodes holds this object and frames: dropped now, not when garbage is collected
        self._decoded: Iterator[tuple[int, Any]] = iter(())
        self._stream = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> None:
        """Open the file, perhaps again, so that decoding begins at its first frame."""
        self.close()
        self._container = av.open(self._clip.path)
        self._stream = video_stream(self._container)
        if self._stream is None:
            raise ReadError(self._clip.path, "it has no stream of video")
        self._decoded = self._number(_decode(self._container.demux(self._stream)))
        self._last = -1
        self._back = 0

    def _frame(self, index: int) -> np.ndarray:
        if self._is_better_reached_by_seeking(index):
            self._seek(index)
        frame = self._decoded_until(index)
        # what a container calls a key frame may be one from which a picture builds up over the next frames
        while frame is None and self._back:
            self._seek(index, back=self._back)
            frame = self._decoded_until(index)
        if frame is None:
            raise ReadError(self._clip.path, f"frame {index} of {self.num_frames} cannot be decoded")
        return self._orientation.upright(frame, self._coded_size)

    def _decoded_until(self, index: int) -> Any:
        """Return the frame of this number, or None if it does not come next, or not whole."""
        for number, frame in self._decoded:
            self._last = number
            if number >= index:
                return frame if number == index and not (frame.is_corrupt and self._back) else None
        return None

    def _is_better_reached_by_seeking(self, index: int) -> bool:
        if index <= self._last:
            return True
        if self._clip.seeking == "count" or index == self._last + 1:
            return False
        if self._last < 0:  # some containers learn of their key frames only at the first seek
            return True
        entries, known = self._stream.index_entries, self._pts(self._last)
        place = entries.search_timestamp(self._pts(index))
        is_key_between = place >= 0 and entries[place].timestamp > known
        return is_key_between or index - self._last > _FAR_SECONDS * self._clip.fps

    def _seek(self, index: int, back: int = 0) -> None:
        """Go to the key frame before a frame; the start is before every frame.

        Args:
            index: Number of the frame.
            back: How long before it to look, in units of the stream.
        """
        if self._clip.seeking != "count":
            target, step = self._pts(index), max(1, round(1 / self._stream.time_base))
            first = self._pts(0)
            place = target - back
            while place > first:
                self._container.seek(place, stream=self._stream)
                packets = self._container.demux(self._stream)
                packet = next(packets)
                # a container seeks by the time of decoding, so it may land one key frame too late
                if packet.is_keyframe and packet.pts is not None and packet.pts <= target:
                    frames = _decode(_chain(packet, packets))
                    # frames shown before the key frame would need others that were not decoded
                    self._decoded = self._number(frame for frame in frames if (frame.pts or 0) >= packet.pts)
                    self._last = -1
                    self._back = max(2 * back, target - packet.pts + 1)
                    return
                place, step = place - step, 2 * step
        self._open()

    def _number(self, frames: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        """Yield frames with their numbers in the order in which they are shown."""
        if self._clip.seeking == "count":
            yield from enumerate(frames)
            return
        for frame in frames:
            if frame.pts is None:
                continue
            if self._clip.seeking == "table":
                place = bisect.bisect_left(self._table, frame.pts)
                if place < len(self._table) and self._table[place] == frame.pts:
                    yield place, frame
            else:
                seconds = float(frame.pts * self._stream.time_base) - self._clip.first_pts
                yield round(seconds * self._clip.fps), frame

    def _pts(self, index: int) -> int:
        """Return a time at which a frame is being shown, in units of the stream."""
        if self._clip.seeking == "table":
            return self._table[index]
        # a quarter of a frame late, because containers round times
        late = 0.25 if index else 0.0
        return round((self._clip.first_pts + (index + late) / self._clip.fps) / self._stream.time_base)


def _shown_times(path: str) -> list[int]:
    """Return when each frame is shown, in units of the stream, without decoding any."""
    with av.open(path) as container:
        packets = container.demux(video_stream(container))
        return sorted(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)


def reason_of(error: Exception) -> str:
    """Return what an error of FFmpeg or of the system says, without the name of the file."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason)


def _decode(packets: Iterator[Any]) -> Iterator[Any]:
    for packet in packets:
        yield from packet.decode()


def _chain(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others
