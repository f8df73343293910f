"""Whether a reader gives the frames that a clip holds, compared at places all over it."""

from collections.abc import Iterator, Sequence

import av
import av.error
import numpy as np

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import NOT_THERE, Clip, ReadError
from diffmask.video.read.read_pyav import Orientation, reason_of, video_stream
from diffmask.video.read.readers import open_source

_NUM_PLACES = 8
_THUMBNAIL_SIDE = 256
_TOLERANCE = 2.0
"""Mean difference of pixel values, up to 255, that different conversions of colours may make."""
_BETTER = 0.25
"""A frame that fits another place better by this much is the frame of that place."""


class Reference:
    """Frames of a clip as they are decoded from its start to its end.

    Args:
        num_frames: Frames of the clip, as its container says.
        key_frames: Numbers of its key frames.
        orientation: What brings a frame upright.
    """

    def __init__(self, num_frames: int, key_frames: Sequence[int], orientation: Orientation):
        self.places = _choose_places(num_frames, key_frames)
        """Numbers of the frames that are compared."""
        self._key_frames = key_frames
        self._orientation = orientation
        self._thumbnails: dict[int, np.ndarray] = {}
        self.key_times: set[int | None] = set()
        """When the frames are shown that the decoder calls key frames."""
        self.num_damaged = 0
        """Number of frames of which the decoder had to guess a part."""

    def decode(self, path: str) -> tuple[list[int | None], str]:
        """Decode all frames; return when each is shown, and why decoding ended early ("" if it did not)."""
        wanted, times = set(self.places), []
        with av.open(path) as container:
            try:
                for index, frame in enumerate(container.decode(video_stream(container))):
                    times.append(frame.pts)
                    self.num_damaged += frame.is_corrupt
                    self.key_times |= {frame.pts} if frame.key_frame else set()
                    if index in wanted:
                        self.add(index, self._orientation.upright(frame))
            except (OSError, av.error.FFmpegError) as error:
                return times, reason_of(error)
        self.places = [place for place in self.places if place in self._thumbnails]
        return times, ""

    def add(self, place: int, frame: np.ndarray) -> None:
        """Take this frame as the right one for its place."""
        self._thumbnails[place] = _thumbnail(frame)

    def _first_wrong(self, places: Sequence[int], frames: np.ndarray) -> int | None:
        """Return the place of the first frame that is not the right one."""
        for place, frame in zip(places, frames, strict=True):
            shown = _thumbnail(frame)
            if shown.shape != self._thumbnails[place].shape:
                return place
            distance = _distance(shown, self._thumbnails[place])
            if distance == 0:
                continue
            # colours may differ a little, so it must also be nearer to its own place than to any other; those of
            # another size are left out, since a stream may change its size on the way
            alike = (other for other in self._thumbnails.values() if other.shape == shown.shape)
            least = min(_distance(shown, other) for other in alike)
            if distance > _TOLERANCE or distance > least + _BETTER:
                return place
        return None

    def disagreement(self, clip: Clip, reader: str) -> str:
        """Return what a reader gets wrong of a clip, as the rest of a sentence; "" if nothing."""
        try:
            keys = sorted(self._thumbnails.keys() & set(self._key_frames))
            for asked in _questions(self.places, keys, reader):
                source = open_source(clip, reader)
                if source.num_frames != clip.num_frames:
                    return f"counts {source.num_frames} frames, not {clip.num_frames}"
                for places in asked:
                    wrong = self._first_wrong(places, source.frames(places))
                    if wrong is not None:
                        return f"gives another frame for frame {wrong}"
                source.close()
        except ReadError as error:
            return f"cannot read it ({error.reason})"
        except InputError as error:
            return f"{NOT_THERE} ({error})"
        return ""


def _choose_places(num_frames: int, key_frames: Sequence[int] = ()) -> list[int]:
    """Return the frames to compare, in threes: each with the one before and the one after it.

    Half of the threes lie around key frames, since what is shown just before one may need frames of both sides.

    Args:
        num_frames: Frames of the clip.
        key_frames: Numbers of its key frames.

    >>> _choose_places(4), _choose_places(1000, [400, 500, 600])
    ([0, 1, 2, 3], [0, 1, 2, 332, 333, 334, 399, 400, 401, 499, 500, 501, 599, 600, 601, 665, 666, 667, 997, 998, 999])
    """
    if num_frames <= 3 * _NUM_PLACES:
        return list(range(num_frames))
    half = _NUM_PLACES // 2
    middles = [1 + round(index * (num_frames - 3) / (half - 1)) for index in range(half)]
    keys = [key for key in key_frames if 0 < key < num_frames - 1]
    middles += [keys[index * (len(keys) - 1) // (half - 1)] for index in range(half)] if keys else []
    return sorted({middle + step for middle in middles for step in (-1, 0, 1)})


def _questions(places: list[int], keys: list[int], reader: str) -> Iterator[list[list[int]]]:
    """Yield what to ask a newly opened reader: the later half, then the earlier; and then steps, as in training.

    PyAV finds frames by their time, so it is asked only whether its way back to an earlier time is right, and whether
    what the container calls key frames can be decoded alone. Others may have yet another answer for what is at the end.
    """
    middle = len(places) // 2
    yield [places[middle:], places[:middle] or places]
    yield from ([[key]] for key in keys)
    if reader != "pyav":
        yield [places[1::3] or places]
        yield from ([[place]] for place in places[-3:])


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    """Return every few pixels of a frame: not averaged, since a decoder that works gives each of them exactly."""
    step = max(1, max(frame.shape[:2]) // _THUMBNAIL_SIDE)
    return frame[::step, ::step].astype(np.int16)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())
