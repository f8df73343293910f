"""What rendered clips are made of: moving clutter, shapes, handwritten digits, colours, and the encoder."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from diffmask.core.errors import InputError

SIZE, NUM_FRAMES, FPS = 64, 24, 12
"""Height and width in points, number of frames, and frames a second of every clip."""


def draw_clutter(name: str, num_frames: int, size: int, random: np.random.Generator) -> np.ndarray:
    """Return a moving background, float (num_frames, size, size) in [0, 1].

    Args:
        name: One of `CLUTTER`.
        num_frames: Number of frames.
        size: Height and width in points.
        random: Generator of the pattern, its direction and its speed.
    """
    t, y, x = np.mgrid[:num_frames, :size, :size].astype(np.float32)
    heading, speed = random.uniform(0.0, 2.0 * np.pi), random.uniform(0.5, 2.0)
    x, y = x + t * np.float32(speed * np.cos(heading)), y + t * np.float32(speed * np.sin(heading))
    turn = random.uniform(0.0, np.pi)
    across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return _PATTERNS[name](across, along, random).astype(np.float32)


def _stripes(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _steep(np.sin(x * (2.0 * np.pi / random.uniform(6.0, 16.0))))


def _checks(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    step = np.pi / random.uniform(5.0, 11.0)
    return _steep(np.sin(x * step) * np.sin(y * step))


def _dots(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    step = random.uniform(8.0, 14.0)
    return _steep(0.3 * step - np.hypot(x % step - step / 2, y % step - step / 2))


def _waves(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    total = np.zeros_like(x)
    for _ in range(4):
        turn, length = random.uniform(0.0, np.pi), random.uniform(8.0, 30.0)
        total += np.sin((x * np.cos(turn) + y * np.sin(turn)) * (2.0 * np.pi / length) + random.uniform(0.0, 6.3))
    return _steep(total / 2.0)


def _steep(values: np.ndarray) -> np.ndarray:
    return (0.5 + 1.5 * values).clip(0.0, 1.0)


_PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "stripes": _stripes, "checks": _checks, "dots": _dots, "waves": _waves,
}  # fmt: skip
CLUTTER = tuple(_PATTERNS)


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Labels of the digits, as in captions."""
_TEST_SHARE = 1 / 3
"""Share of the images of each digit that only test clips show."""


@cache
def digit_images() -> tuple[np.ndarray, np.ndarray]:
    """Return the handwritten digits of scikit-learn, float (N, 8, 8) in [0, 1], and their values (N,)."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()  # comes with scikit-learn: nothing is downloaded
    return found.images.astype(np.float32) / 16.0, found.target.astype(np.int64)


def split_handwriting(random: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Return the images of each digit in the splits train and test, which share none, in a random order."""
    images, values = digit_images()
    orders = [random.permutation(np.flatnonzero(values == digit)) for digit in range(len(DIGITS))]
    borders = [round(_TEST_SHARE * len(order)) for order in orders]
    return {
        "train": [images[order[border:]] for order, border in zip(orders, borders, strict=True)],
        "test": [images[order[:border]] for order, border in zip(orders, borders, strict=True)],
    }


def draw_digit(image: np.ndarray, size: int) -> np.ndarray:
    """Return an enlarged handwritten digit as an opacity in [0, 1], (size, size)."""
    large = interpolate(torch.from_numpy(image)[None, None], (size, size), mode="bicubic", align_corners=False)
    return ((large[0, 0].numpy() - 0.2) * 2.5).clip(0.0, 1.0)


def draw_shape(name: str, size: int, random: np.random.Generator) -> np.ndarray:
    """Return a shape that is no digit as an opacity in [0, 1], (size, size), with soft edges.

    Args:
        name: One of `SHAPES`.
        size: Height and width in points.
        random: Generator of its turn and its details.
    """
    y, x = np.mgrid[:size, :size].astype(np.float32) * (2.0 / (size - 1)) - 1.0
    # one point from the inside to the outside
    return (_DISTANCES[name](x, y, random) * (size / 2.0) + 0.5).clip(0.0, 1.0)


def _disc(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return 0.85 - np.hypot(x, y)


def _square(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    turn = random.uniform(0.0, np.pi / 2)
    across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return 0.65 - np.maximum(np.abs(across), np.abs(along))


def _triangle(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    start = random.uniform(0.0, 2.0 * np.pi)
    sides = [start + 2.0 * np.pi * side / 3 for side in range(3)]
    return np.min([0.42 - (x * np.cos(side) + y * np.sin(side)) for side in sides], axis=0)


def _cross(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    turn = random.uniform(0.0, np.pi / 2)
    across, along = np.abs(x * np.cos(turn) + y * np.sin(turn)), np.abs(y * np.cos(turn) - x * np.sin(turn))
    return np.maximum(np.minimum(0.2 - across, 0.85 - along), np.minimum(0.2 - along, 0.85 - across))


def _strokes(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a few lines between points of a grid, like a letter of an unknown alphabet."""
    points = [np.array([across, along]) for across in (-0.6, 0.0, 0.6) for along in (-0.75, 0.0, 0.75)]
    path = [points[place] for place in random.choice(len(points), random.integers(4, 7), replace=False)]
    width = random.uniform(0.14, 0.22)
    return np.max([width - _to_line(x, y, *ends) for ends in zip(path, path[1:], strict=False)], axis=0)


def _arcs(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return two bows, which come close to a digit."""
    width = random.uniform(0.14, 0.2)
    bows = []
    for middle in (-0.35, 0.35):
        radius, start = random.uniform(0.35, 0.5), random.uniform(0.0, 2.0 * np.pi)
        angle = (np.arctan2(y - middle, x) - start) % (2.0 * np.pi)
        bows.append(np.where(angle < 1.2 * np.pi, width - np.abs(np.hypot(x, y - middle) - radius), -1.0))
    return np.maximum(*bows)


def _to_line(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance of each point from the line between two points."""
    way = end - start
    share = (((x - start[0]) * way[0] + (y - start[1]) * way[1]) / (way @ way)).clip(0.0, 1.0)
    return np.hypot(x - start[0] - share * way[0], y - start[1] - share * way[1])


_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "disc": _disc, "square": _square, "triangle": _triangle, "cross": _cross, "strokes": _strokes, "arcs": _arcs,
}  # fmt: skip
"""Functions that return how far inside a shape each point is, in halves of its size; negative outside."""
SHAPES = tuple(_DISTANCES)


def draw_colour(random: np.random.Generator, darkest: float, lightest: float) -> np.ndarray:
    """Return a colour, (3,) in [0, 1], whose brightness lies between two."""
    hue, brightness = random.uniform(0.0, 2.0 * np.pi), random.uniform(darkest, lightest)
    shades = 1.0 + 0.2 * np.cos(hue + np.array([0.0, 2.0, 4.0]) * (np.pi / 3.0))
    return (brightness * shades / shades.max()).astype(np.float32)


def check_encoder() -> None:
    """Refuse a machine on which PyAV is missing or was built without libx264."""
    try:
        import av
    except ImportError as error:
        raise InputError(
            f"clips are encoded by PyAV, which is not installed ({error}); install it: pip install 'diffmask[video]'"
        ) from error
    if "libx264" not in av.codecs_available:
        raise InputError(
            "this PyAV was built without the H.264 encoder libx264; install the one of the package index with "
            "`pip install --force-reinstall --only-binary av av`"
        )


def encode(frames: np.ndarray, path: Path) -> None:
    """Write frames uint8 (T, H, W, 3), of even height and width, as H.264."""
    import av

    # when x264 looks ahead it does not always decide alike: once in 50 runs the same frames gave other bytes
    fixed = "rc-lookahead=0:mbtree=0:b-adapt=0:weightp=0:scenecut=0"
    options = {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": fixed}
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
