"""Shapes of the clips that are rendered, each as an opacity in [0, 1] of (size, size), with soft edges."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Labels of the digits, as captions name them."""


@cache
def digit_images() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's handwritten digits, float (N, 8, 8) in [0, 1], and their values (N,)."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()  # a part of scikit-learn: nothing is downloaded
    return found.images.astype(np.float32) / 16.0, found.target.astype(np.int64)


def draw_digit(image: np.ndarray, size: int) -> np.ndarray:
    """Return a handwritten digit of 8 x 8 points, enlarged."""
    large = interpolate(torch.from_numpy(image)[None, None], (size, size), mode="bicubic", align_corners=False)
    return ((large[0, 0].numpy() - 0.2) * 2.5).clip(0.0, 1.0)


def draw_shape(name: str, size: int, random: np.random.Generator) -> np.ndarray:
    """Return a shape that is no digit.

    Args:
        name: One of `SHAPES`.
        size: Its height and width.
        random: What it is drawn with.
    """
    y, x = np.mgrid[:size, :size].astype(np.float32) * (2.0 / (size - 1)) - 1.0
    # an edge is one point wide
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
    """Return a few lines between points of a grid, as of a letter of no alphabet."""
    points = [np.array([across, along]) for across in (-0.6, 0.0, 0.6) for along in (-0.75, 0.0, 0.75)]
    path = [points[place] for place in random.choice(len(points), random.integers(4, 7), replace=False)]
    width = random.uniform(0.14, 0.22)
    return np.max([width - _to_line(x, y, *ends) for ends in zip(path, path[1:], strict=False)], axis=0)


def _arcs(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return two bows, which are nearly what a digit is made of."""
    width = random.uniform(0.14, 0.2)
    bows = []
    for middle in (-0.35, 0.35):
        radius, start = random.uniform(0.35, 0.5), random.uniform(0.0, 2.0 * np.pi)
        angle = (np.arctan2(y - middle, x) - start) % (2.0 * np.pi)
        bows.append(np.where(angle < 1.2 * np.pi, width - np.abs(np.hypot(x, y - middle) - radius), -1.0))
    return np.maximum(*bows)


def _to_line(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance of each point to the line between two."""
    way = end - start
    share = (((x - start[0]) * way[0] + (y - start[1]) * way[1]) / (way @ way)).clip(0.0, 1.0)
    return np.hypot(x - start[0] - share * way[0], y - start[1] - share * way[1])


_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "disc": _disc, "square": _square, "triangle": _triangle, "cross": _cross, "strokes": _strokes, "arcs": _arcs,
}  # fmt: skip
"""How far inside of a shape each point is, in halves of its size."""
SHAPES = tuple(_DISTANCES)
