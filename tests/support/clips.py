"""Small clips made in code: the number of each frame is drawn in, so that it can be read back after lossy coding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = (3, 3)
"""Rows and columns of black and white blocks: the digits of the number, the highest first."""


@dataclass(frozen=True)
class Recipe:
    """How a clip is made."""

    num_frames: int = 60
    codec: str = "libx264"
    width: int = 96
    height: int = 72
    fps: int | Fraction = 25
    keys_every: int = 12
    b_frames: int = 2
    rotation: int = 0
    """Degrees clockwise that bring the stored frames upright; .mp4 and .mov only."""
    mirrored: bool = False
    """Whether the stored frames are mirrored before they are turned."""
    times: Sequence[int] | None = None
    """When each frame is shown, in milliseconds; None shows them at a steady rate."""
    pixel_format: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    """More options of the encoder."""


def make_clip(path: Path, recipe: Recipe = Recipe()) -> Path:  # noqa: B008 - frozen
    """Write a clip; the suffix of the path says in which container."""
    options = {"g": str(recipe.keys_every)}
    if recipe.codec in ("libx264", "libx265", "mpeg4"):
        options |= {"bf": str(recipe.b_frames)}
    if recipe.codec == "libx264":
        options |= {"sc_threshold": "0", "preset": "ultrafast", "b-pyramid": "none", "qp": "12"}
    if recipe.codec == "libx265":
        options |= {"preset": "ultrafast", "x265-params": f"log-level=none:keyint={recipe.keys_every}"}
    if recipe.codec == "libvpx-vp9":
        options |= {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(recipe.codec, rate=recipe.fps, options=options | dict(recipe.options))
        turned = recipe.rotation % 180 == 90
        stream.width, stream.height = (recipe.height, recipe.width) if turned else (recipe.width, recipe.height)
        stream.pix_fmt = recipe.pixel_format
        stream.codec_context.thread_count = 1
        if recipe.rotation or recipe.mirrored:
            # it turns against the clock, and mirrors then; the other way round, a turn goes the other way
            angle = recipe.rotation if recipe.mirrored else -recipe.rotation
            stream.set_display_rotation(angle, hflip=recipe.mirrored)
        stream.codec_context.time_base = Fraction(1, 1000) if recipe.times else 1 / Fraction(recipe.fps)
        for index in range(recipe.num_frames):
            picture = np.rot90(draw(index, recipe.width, recipe.height), k=recipe.rotation // 90)
            picture = picture[:, ::-1] if recipe.mirrored else picture
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = recipe.times[index] if recipe.times else index
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def draw(number: int, width: int, height: int) -> np.ndarray:
    """Return a frame (H, W, 3) that shows a number in blocks, each channel with another brightness."""
    rows, columns = BITS
    frame = np.zeros((height, width, 3), np.uint8)
    for bit in range(rows * columns):
        row, column = divmod(bit, columns)
        y, x = slice(row * height // rows, (row + 1) * height // rows), slice(*_ends(column, columns, width))
        frame[y, x] = (230, 210, 190) if number >> (rows * columns - 1 - bit) & 1 else (20, 30, 40)
    return frame


def number_of(frame: np.ndarray) -> int:
    """Return the number that a frame shows; a block that is neither black nor white is an error."""
    rows, columns = BITS
    height, width = frame.shape[:2]
    number = 0
    for bit in range(rows * columns):
        row, column = divmod(bit, columns)
        y, x = (2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * columns)
        level = float(np.asarray(frame)[y - 2 : y + 3, x - 2 : x + 3].mean())
        assert level < 80 or level > 150, f"block {bit} is grey ({level:.0f})"
        number = 2 * number + (level > 115)
    return number


def numbers_of(frames) -> list[int]:
    """Return the numbers that frames (T, H, W, 3) show."""
    return [number_of(np.asarray(frame)) for frame in frames]


def cut_without_encoding(source: Path, path: Path, first: int, fps: int) -> Path:
    """Copy the packets of a clip so that it begins with a frame that is no key frame, as cutting tools do.

    The packets from the key frame on are kept with negative times, which the container hides with an edit list.
    """
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        start = round(first / fps / stream.time_base)
        packets = [packet for packet in old.demux(stream) if packet.size]
        key = max(number for number, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= start)
        for packet in packets[key:]:
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            packet.stream = copy
            new.mux(packet)
    return path


def _ends(index: int, parts: int, length: int) -> tuple[int, int]:
    return index * length // parts, (index + 1) * length // parts
