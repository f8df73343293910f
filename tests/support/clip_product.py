"""Clips in every combination of container, codec, rate, B-frames, start, orientation and a glitch of time stamps."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import av.error
import numpy as np

from support.clips import draw

NUM_FRAMES = 13
_SIDE = 64
_KEYS_EVERY = 5
_HIDDEN = 3
"""Frames that an edit list hides of a clip that begins before zero."""
_AT, _AT_KEY = 7, 5
"""Frames that a glitch befalls: one within a group, and a key frame."""

CODECS = {
    "mp4": ("libx264", "libx265"),
    "mov": ("libx264", "prores_ks"),
    "mkv": ("libx264", "mpeg4"),
    "webm": ("libvpx-vp9", "libsvtav1"),
    "avi": ("mpeg4", "mjpeg"),
    "ts": ("libx264", "mpeg2video"),
}
"""Codecs of each container."""
_WITH_B_FRAMES = ("libx264", "libx265", "mpeg4", "mpeg2video")
RATES = tuple(map(Fraction, ("1/5", "1", "12", "24000/1001", "25", "30000/1001", "50", "60")))
_RATES_OF_MPEG2 = RATES[3:]
_TURNING = ("mp4", "mov")
"""Containers that say how a clip is turned."""
_HIDING = ("mp4", "mov")
"""Containers that say which frames are not shown."""
GLITCHES = ("", "forward", "forward-key", "back", "equal", "equal-run", "gap", "missing", "restart")


@dataclass(frozen=True)
class Odd:
    """How a clip is made."""

    container: str
    codec: str
    rate: Fraction
    b_frames: int = 0
    start: str = "0"
    """"0", "late" (1.4 s) or "negative" (an edit list hides the first frames)."""
    rotation: int = 0
    mirrored: bool = False
    glitch: str = ""

    @property
    def name(self) -> str:
        """A name for its file, which says all."""
        rate = f"{float(self.rate):g}fps"
        turn = f"r{self.rotation}{'m' if self.mirrored else ''}"
        parts = (self.codec, rate, f"b{self.b_frames}", self.start, turn, self.glitch or "whole")
        return f"{'-'.join(parts)}.{self.container}"


def combinations() -> Iterator[Odd]:
    """Yield every combination that can be written."""
    for container, codecs in CODECS.items():
        starts = ("0", "late", "negative") if container in _HIDING else ("0", "late")
        turns = list(product((0, 90, 180, 270), (False, True))) if container in _TURNING else [(0, False)]
        glitches = [each for each in GLITCHES if each not in ("missing", "restart") or container == "ts"]
        for codec in codecs:
            rates = _RATES_OF_MPEG2 if codec == "mpeg2video" else RATES
            b_frames = (0, 2) if codec in _WITH_B_FRAMES else (0,)
            for rate, b, start, turn, glitch in product(rates, b_frames, starts, turns, glitches):
                yield Odd(container, codec, rate, b, start, *turn, glitch)


def cover(odds: Sequence[Odd], seed: int = 0) -> list[Odd]:
    """Return a few of these in which every value occurs in every container, and with or without B-frames."""
    missing = {pair for odd in odds for pair in _pairs(odd)}
    order, chosen = random.Random(seed).sample(odds, len(odds)), []
    for least in (6, 5, 4, 3, 2, 1):  # those that add most come first
        for odd in order:
            new = missing & _pairs(odd)
            if len(new) >= least:
                chosen.append(odd)
                missing -= new
    assert not missing
    return chosen


def _pairs(odd: Odd) -> set[tuple]:
    values = {
        ("codec", odd.codec),
        ("rate", odd.rate),
        ("b-frames", odd.b_frames),
        ("start", odd.start),
        ("turn", odd.rotation, odd.mirrored),
        ("glitch", odd.glitch),
    }
    return {(odd.container, *each) for each in values} | {("b-frames", odd.b_frames, odd.glitch)}


def _options(odd: Odd) -> dict[str, str]:
    keys = str(_KEYS_EVERY)
    if odd.codec == "libx264":
        quick = {"preset": "ultrafast", "b-pyramid": "none", "qp": "12", "sc_threshold": "0"}
        return {"g": keys, "bf": str(odd.b_frames), **quick}
    if odd.codec == "libx265":
        params = f"log-level=none:keyint={keys}:bframes={odd.b_frames}:pools=none:frame-threads=1"
        return {"preset": "ultrafast", "x265-params": params}
    if odd.codec in ("mpeg4", "mpeg2video"):
        return {"g": keys, "bf": str(odd.b_frames), "b": "900k"}
    if odd.codec == "libvpx-vp9":
        return {"g": keys, "deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"}
    if odd.codec == "libsvtav1":
        return {"g": keys, "preset": "13", "svtav1-params": "lp=1"}
    return {}


def picture(index: int) -> int:
    """Return the number that is drawn into a frame: far from those before and after, and no mirror image of itself."""
    return (index * 83 + 37) % 512


def make_odd(path: Path, odd: Odd) -> list[int]:
    """Write a clip; return the numbers of its frames in the order in which a player decodes and shows them.

    Raises:
        av.error.FFmpegError: If the container refuses such packets.
    """
    if odd.glitch == "restart":  # two parts that both begin at the same time, one after the other in a file
        numbers = _write(path, odd, range(NUM_FRAMES - 6))
        first = path.read_bytes()
        numbers += _write(path, odd, range(NUM_FRAMES - 6, NUM_FRAMES))
        path.write_bytes(first + path.read_bytes())
        return numbers
    numbers = _write(path, odd, range(NUM_FRAMES))
    return numbers[_HIDDEN:] if odd.start == "negative" else numbers


def _write(path: Path, odd: Odd, indices: range) -> list[int]:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(odd.codec, rate=odd.rate, options=_options(odd))
        stream.width = stream.height = _SIDE
        stream.pix_fmt = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(odd.codec, "yuv420p")
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = 1 / odd.rate
        if odd.rotation or odd.mirrored:
            # PyAV turns first, against the clock, and then mirrors
            stream.set_display_rotation(odd.rotation if odd.mirrored else -odd.rotation, hflip=odd.mirrored)
        packets = []
        for place, index in enumerate(indices):
            shown = draw(picture(index), _SIDE, _SIDE)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(_stored(shown, odd)), format="rgb24")
            frame.pts, frame.time_base = place, 1 / odd.rate
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in _with_glitch(packets, odd):
            container.mux(packet)
    return [picture(index) for index in indices]


def _stored(shown: np.ndarray, odd: Odd) -> np.ndarray:
    """Return a frame as it is stored, so that it is shown upright once it has been mirrored and turned."""
    turned = np.rot90(shown, k=odd.rotation // 90)
    return turned[:, ::-1] if odd.mirrored else turned


def _with_glitch(packets: list[av.Packet], odd: Odd) -> list[av.Packet]:
    """Change the times of packets, which are in units of frames."""
    unit = packets[0].time_base
    frame = round(1 / odd.rate / unit)
    second = round(1 / unit)
    places = [round(packet.pts / frame) for packet in packets]
    shift = {"0": 0, "late": round(1.4 * second), "negative": -_HIDDEN * frame}[odd.start]
    pause = 5 * max(second, frame)
    early = 4 * frame if odd.glitch in ("back", "equal", "equal-run") else 0
    late = 0
    for packet, place in zip(packets, places, strict=True):
        late = pause if odd.glitch == "gap" and place >= 2 * _KEYS_EVERY else late
        packet.dts += shift - early + late
        packet.pts += shift + late
        if (odd.glitch, place) in (("forward", _AT), ("forward-key", _AT_KEY)):
            packet.pts += pause
        elif odd.glitch == "back" and place == _AT:
            packet.pts -= 3 * frame
        elif odd.glitch == "equal" and place == _AT or odd.glitch == "equal-run" and place in (_AT, _AT + 1):
            packet.pts -= (place - _AT + 1) * frame
        elif odd.glitch == "missing" and place in (_AT, _AT_KEY):
            packet.pts = None
    return packets
