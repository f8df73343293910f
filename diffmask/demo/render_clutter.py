"""Moving backgrounds of the clips that are rendered, each float (T, size, size) in [0, 1]."""

from collections.abc import Callable

import numpy as np


def draw_clutter(name: str, num_frames: int, size: int, random: np.random.Generator) -> np.ndarray:
    """Return a pattern that moves.

    Args:
        name: One of `CLUTTER`.
        num_frames: How many.
        size: Height and width.
        random: What it is drawn with.
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
