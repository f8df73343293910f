"""What a row shows of a clip: which frames, and which rectangle of them.

Nothing is drawn here: the caller hands in the random numbers, so the same numbers always give the same row.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


def dense(num_frames: int, count: int, stride: int, place: float) -> list[int]:
    """Return frames `stride` apart, as VideoMAE samples them in pretraining.

    Of a clip that is shorter than the span, frames are taken evenly from all of it; some repeat if it has too few.

    Args:
        num_frames: Frames of the clip.
        count: Frames to return.
        stride: Distance from one frame to the next.
        place: Where the span begins, in [0, 1): at 0 it begins with the clip, near 1 it ends with the clip.

    >>> dense(100, 4, 8, place=0.5)
    [38, 46, 54, 62]
    >>> dense(6, 4, 8, place=0.5), dense(2, 4, 1, place=0.5)
    ([0, 2, 3, 5], [0, 0, 1, 1])
    """
    _check(num_frames, count, place)
    assert stride > 0, f"stride={stride} must be positive"
    num_starts = num_frames - (count - 1) * stride
    if num_starts < 1:
        return _evenly(num_frames, count)
    start = _floor(place * num_starts, num_starts)
    return [start + index * stride for index in range(count)]


def uniform(num_frames: int, count: int, place: float) -> list[int]:
    """Return one frame of each of `count` equal segments of a clip, as TSN samples them.

    Args:
        num_frames: Frames of the clip; if it has fewer than are asked for, some repeat.
        count: Frames to return.
        place: Where each frame lies in its segment, in [0, 1): 0.5 is the middle.

    >>> uniform(100, 4, place=0.5), uniform(3, 4, place=0.5)
    ([12, 37, 62, 87], [0, 1, 1, 2])
    """
    _check(num_frames, count, place)
    ends = [-(-(index + 1) * num_frames // count) for index in range(count)]
    return [_floor((index + place) * num_frames / count, end) for index, end in enumerate(ends)]


def _evenly(num_frames: int, count: int) -> list[int]:
    """Return `count` frames from the first to the last, as evenly as whole numbers are."""
    if count == 1:
        return [num_frames // 2]
    # halves are rounded up: the rounding of Python, to even numbers, makes steps uneven
    return [((num_frames - 1) * index * 2 + count - 1) // (2 * (count - 1)) for index in range(count)]


def _floor(value: float, limit: int) -> int:
    """Return the whole part of a value that rounding may have brought up to the limit."""
    return min(int(value), limit - 1)


def _check(num_frames: int, count: int, place: float) -> None:
    assert num_frames > 0, f"num_frames={num_frames} must be positive"
    assert count > 0, f"count={count} must be positive"
    assert 0 <= place < 1, f"place={place} is outside of [0, 1)"


_ATTEMPTS = 10
"""Rectangles that are tried before the middle of the frame is taken (as torchvision's RandomResizedCrop does)."""
NUM_DRAWS = 4 * _ATTEMPTS + 1
"""Random numbers that a random crop may use."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of the upright frame, in fractions of its height and width; one for frames, boxes and score maps."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0
    flip: bool = False
    """Whether it is mirrored."""

    @classmethod
    def centre(cls, height: int, width: int) -> Self:
        """Return the largest square in the middle of a frame of `height` times `width` pixels."""
        side = min(height, width)
        return cls._of_pixels((height - side) // 2, (width - side) // 2, side, side, (height, width), flip=False)

    @classmethod
    def random(
        cls,
        height: int,
        width: int,
        draws: Tensor,
        *,
        scale: tuple[float, float] = (0.5, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
    ) -> Self:
        """Return a random rectangle of a frame, by the law of torchvision's RandomResizedCrop.

        Args:
            height: Pixels of the frame.
            width: Pixels of the frame.
            draws: `NUM_DRAWS` numbers drawn uniformly from (0, 1).
            scale: Smallest and largest share of the frame's area.
            ratio: Smallest and largest width over height; its logarithm is uniform.
            flip: Probability that the crop is mirrored.
        """
        mirrored, *rest = draws.tolist()
        numbers: Iterator[float] = iter(rest)
        low, high = math.log(ratio[0]), math.log(ratio[1])
        for _ in range(_ATTEMPTS):
            area = (scale[0] + (scale[1] - scale[0]) * next(numbers)) * height * width
            shape = math.exp(low + (high - low) * next(numbers))
            down, across = round(math.sqrt(area / shape)), round(math.sqrt(area * shape))
            top, left = next(numbers), next(numbers)
            if 0 < down <= height and 0 < across <= width:
                at = (math.floor(top * (height - down + 1)), math.floor(left * (width - across + 1)))
                return cls._of_pixels(*at, down, across, (height, width), flip=mirrored < flip)
        # nothing fitted: take the largest rectangle in the middle whose shape is allowed
        down, across = height, width
        if width < height * ratio[0]:
            down = max(1, round(width / ratio[0]))
        elif width > height * ratio[1]:
            across = max(1, round(height * ratio[1]))
        top, left = (height - down) // 2, (width - across) // 2
        return cls._of_pixels(top, left, down, across, (height, width), flip=mirrored < flip)

    @classmethod
    def _of_pixels(cls, top: int, left: int, height: int, width: int, frame: tuple[int, int], *, flip: bool) -> Self:
        return cls(top / frame[0], left / frame[1], height / frame[0], width / frame[1], flip)

    def of_frames(self, frames: Tensor, size: int) -> Tensor:
        """Return what frames show in the rectangle, uint8 (T, 3, size, size).

        Args:
            frames: uint8 (T, H, W, 3).
            size: Pixels of the result in height and in width.
        """
        # loaded here, since policies are listed where the libraries of clips are not installed, too
        from torchvision.transforms.v2 import functional

        height, width = frames.shape[1:3]
        top, left = round(self.top * height), round(self.left * width)
        down, across = max(1, round(self.height * height)), max(1, round(self.width * width))
        images = frames.permute(0, 3, 1, 2)
        cropped = functional.resized_crop(images, top, left, down, across, [size, size], antialias=True)
        return (functional.horizontal_flip(cropped) if self.flip else cropped).contiguous()

    def of_boxes(self, boxes: Tensor) -> Tensor:
        """Return boxes in fractions of the rectangle, float (N, 4); those outside of it have no area.

        Args:
            boxes: x1, y1, x2, y2 in fractions of the upright frame, float (N, 4).
        """
        origin = boxes.new_tensor([self.left, self.top] * 2)
        scale = boxes.new_tensor([self.width, self.height] * 2)
        inside = ((boxes - origin) / scale).clamp(0.0, 1.0)
        return torch.stack([1 - inside[:, 2], inside[:, 1], 1 - inside[:, 0], inside[:, 3]], 1) if self.flip else inside

    def of_map(self, values: Tensor, times: Tensor, wanted: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return what a score map says of the rectangle, float32 (T, rows, columns).

        The map is interpolated between its places and between its times; a patch that spans several has their mean.

        Args:
            values: Scores over the whole upright frame at some times, (K, h, w).
            times: These times as ascending fractions of the clip, float (K,).
            wanted: The times at which scores are wanted, as fractions of the clip, float (T,).
            shape: Patches of the crop in height and in width.
        """
        at_times = _at_times(values.float(), times, wanted)
        down = _places(self.top, self.height, shape[0], values.shape[1])
        across = _places(self.left, self.width, shape[1], values.shape[2])
        if self.flip:
            across = across.flip(0)
        rows = _interpolate(at_times, down.flatten(), dim=1).unflatten(1, down.shape).mean(2)
        return _interpolate(rows, across.flatten(), dim=2).unflatten(2, across.shape).mean(3)


def _at_times(values: Tensor, times: Tensor, wanted: Tensor) -> Tensor:
    """Return maps at other times: linear between the known ones, constant before the first and after the last."""
    if len(times) == 1:
        return values.expand(len(wanted), *values.shape[1:])
    # the known times on both sides of each wanted one; at the ends, the two nearest, whose share is then clamped
    after = torch.searchsorted(times, wanted).clamp(1, len(times) - 1)
    gap = (times[after] - times[after - 1]).clamp_min(torch.finfo(times.dtype).eps)
    share = ((wanted - times[after - 1]) / gap).clamp(0.0, 1.0)
    return torch.lerp(values[after - 1], values[after], share[:, None, None].to(values))


def _places(start: float, length: float, num_patches: int, num_places: int) -> Tensor:
    """Return where in a map to look for each patch, float (patches, samples): one sample for each place it spans.

    A map has its value i at the middle of the i-th of `num_places` equal parts of the frame.
    """
    # rounding must not add a sample to a patch that spans its places exactly
    samples = max(1, math.ceil(length * num_places / num_patches - 1e-6))
    fractions = (torch.arange(num_patches * samples) + 0.5) / (num_patches * samples)
    return ((start + length * fractions) * num_places - 0.5).view(num_patches, samples)


def _interpolate(values: Tensor, places: Tensor, dim: int) -> Tensor:
    """Return values at fractional places of a dimension, linear in between, constant beyond the ends."""
    last = values.shape[dim] - 1
    places = places.clamp(0.0, last)
    below = places.floor().long()
    share = places - below
    shape = [1] * values.dim()
    shape[dim] = -1
    return torch.lerp(
        values.index_select(dim, below), values.index_select(dim, (below + 1).clamp_max(last)), share.view(shape)
    )
