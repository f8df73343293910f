"""Which frames of a clip are looked at: a span with steps, one of each segment, or several spans.

`place` in [0, 1) says where, and is drawn by the caller: what is drawn twice is the same frames.

Crops and flips: one rectangle for the frames, the boxes and the score maps of a clip.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional


def dense(num_frames: int, count: int, stride: int, place: float) -> list[int]:
    """Return frames `stride` apart, as VideoMAE samples them in pretraining.

    A clip that is shorter than the span is spread evenly over the frames, some of which repeat if there are fewer than
    are asked for.

    Args:
        num_frames: Of the clip.
        count: Frames to return.
        stride: From one to the next.
        place: In [0, 1), where the span begins: 0 with the clip, nearly 1 so that it ends with the clip.

    >>> dense(100, 4, 8, place=0.5)
    [38, 46, 54, 62]
    >>> dense(6, 4, 8, place=0.5), dense(2, 4, 1, place=0.5)
    ([0, 2, 3, 5], [0, 0, 1, 1])
    """
    _check(num_frames, count, place)
    assert stride > 0, f"stride={stride} must be positive"
    num_starts = num_frames - (count - 1) * stride
    if num_starts < 1:
        return _spread(num_frames, count)
    start = _floor(place * num_starts, num_starts)
    return [start + index * stride for index in range(count)]


def uniform(num_frames: int, count: int, place: float) -> list[int]:
    """Return one frame of each of `count` equal segments of a clip, as TSN samples them.

    Args:
        num_frames: Of the clip; where there are fewer than are asked for, some repeat.
        count: Frames to return.
        place: In [0, 1), where in its segment each frame lies: 0.5 is the middle.

    >>> uniform(100, 4, place=0.5), uniform(3, 4, place=0.5)
    ([12, 37, 62, 87], [0, 1, 1, 2])
    """
    _check(num_frames, count, place)
    ends = [-(-(index + 1) * num_frames // count) for index in range(count)]
    return [_floor((index + place) * num_frames / count, end) for index, end in enumerate(ends)]


def several(num_frames: int, count: int, stride: int, num_clips: int) -> list[list[int]]:
    """Return `num_clips` dense samples that are spread evenly from the start of a clip to its end, for evaluation.

    One sample is taken from the middle.

    >>> several(100, 4, 8, num_clips=3)
    [[0, 8, 16, 24], [38, 46, 54, 62], [75, 83, 91, 99]]
    """
    assert num_clips > 0, f"num_clips={num_clips} must be positive"
    if num_clips == 1:
        return [dense(num_frames, count, stride, place=0.5)]
    last = math.nextafter(1.0, 0.0)
    return [dense(num_frames, count, stride, min(index / (num_clips - 1), last)) for index in range(num_clips)]


def _spread(num_frames: int, count: int) -> list[int]:
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


ATTEMPTS = 10
"""Rectangles that are tried before the middle of the frame is taken (as torchvision's RandomResizedCrop does)."""
NUM_DRAWS = 4 * ATTEMPTS + 1
"""Uniform numbers that a random crop may use."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of the upright frame, in fractions of its height and width, perhaps mirrored."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0
    flip: bool = False


def centre_crop(height: int, width: int) -> Crop:
    """Return the largest square in the middle of a frame of some pixels."""
    side = min(height, width)
    return _in_pixels((height - side) // 2, (width - side) // 2, side, side, (height, width), flip=False)


def random_crop(
    height: int,
    width: int,
    draws: Tensor,
    *,
    scale: tuple[float, float] = (0.5, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: float = 0.5,
) -> Crop:
    """Return a random rectangle of a frame, by the law of torchvision's RandomResizedCrop.

    Args:
        height: Pixels of the frame.
        width: Pixels of the frame.
        draws: `NUM_DRAWS` uniforms in (0, 1).
        scale: Smallest and largest share of the frame's area.
        ratio: Smallest and largest width over height; its logarithm is uniform.
        flip: Probability that it is mirrored.
    """
    mirrored, *rest = draws.tolist()
    numbers: Iterator[float] = iter(rest)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(ATTEMPTS):
        area = (scale[0] + (scale[1] - scale[0]) * next(numbers)) * height * width
        shape = math.exp(low + (high - low) * next(numbers))
        down, across = round(math.sqrt(area / shape)), round(math.sqrt(area * shape))
        top, left = next(numbers), next(numbers)
        if 0 < down <= height and 0 < across <= width:
            at = (math.floor(top * (height - down + 1)), math.floor(left * (width - across + 1)))
            return _in_pixels(*at, down, across, (height, width), flip=mirrored < flip)
    down, across = height, width
    if width < height * ratio[0]:
        down = max(1, round(width / ratio[0]))
    elif width > height * ratio[1]:
        across = max(1, round(height * ratio[1]))
    return _in_pixels((height - down) // 2, (width - across) // 2, down, across, (height, width), flip=mirrored < flip)


def _in_pixels(top: int, left: int, height: int, width: int, frame: tuple[int, int], *, flip: bool) -> Crop:
    return Crop(top / frame[0], left / frame[1], height / frame[0], width / frame[1], flip)


def crop_frames(frames: Tensor, crop: Crop, size: int) -> Tensor:
    """Return the crop of frames, uint8 (T, 3, size, size).

    Args:
        frames: uint8 (T, H, W, 3).
        crop: The rectangle, rounded to whole pixels.
        size: Pixels of the result.
    """
    height, width = frames.shape[1:3]
    top, left = round(crop.top * height), round(crop.left * width)
    down, across = max(1, round(crop.height * height)), max(1, round(crop.width * width))
    images = frames.permute(0, 3, 1, 2)
    cropped = functional.resized_crop(images, top, left, down, across, [size, size], antialias=True)
    return (functional.horizontal_flip(cropped) if crop.flip else cropped).contiguous()


def crop_boxes(boxes: Tensor, crop: Crop) -> Tensor:
    """Return boxes as the crop shows them, float (N, 4); those outside of it have no area.

    Args:
        boxes: x1, y1, x2, y2 in fractions of the upright frame, float (N, 4).
        crop: The rectangle; what is returned are fractions of it.
    """
    origin = boxes.new_tensor([crop.left, crop.top] * 2)
    scale = boxes.new_tensor([crop.width, crop.height] * 2)
    inside = ((boxes - origin) / scale).clamp(0.0, 1.0)
    return torch.stack([1 - inside[:, 2], inside[:, 1], 1 - inside[:, 0], inside[:, 3]], 1) if crop.flip else inside


def crop_map(values: Tensor, times: Tensor, wanted: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
    """Return a score map as the crop shows it, float32 (T, rows, columns).

    Between the places of the map, and between its times, it is interpolated; a patch that spans several places has
    their mean.

    Args:
        values: Scores over the whole upright frame at some times, (K, h, w).
        times: Ascending fractions of the clip, float (K,).
        wanted: Fractions of the clip that scores are wanted at, float (T,).
        crop: The rectangle.
        shape: Patches of the crop in height and width.
    """
    at_times = _at_times(values.float(), times, wanted)
    down = _places(crop.top, crop.height, shape[0], values.shape[1])
    across = _places(crop.left, crop.width, shape[1], values.shape[2])
    if crop.flip:
        across = across.flip(0)
    rows = _interpolate(at_times, down.flatten(), dim=1).unflatten(1, down.shape).mean(2)
    return _interpolate(rows, across.flatten(), dim=2).unflatten(2, across.shape).mean(3)


def _at_times(values: Tensor, times: Tensor, wanted: Tensor) -> Tensor:
    """Return maps at some times, linear between those that are known; before the first and after the last, those."""
    if len(times) == 1:
        return values.expand(len(wanted), *values.shape[1:])
    after = torch.searchsorted(times, wanted).clamp(1, len(times) - 1)
    gap = (times[after] - times[after - 1]).clamp_min(torch.finfo(times.dtype).eps)
    share = ((wanted - times[after - 1]) / gap).clamp(0.0, 1.0)
    return torch.lerp(values[after - 1], values[after], share[:, None, None].to(values))


def _places(start: float, length: float, num_patches: int, num_places: int) -> Tensor:
    """Return where in a map to look for each patch, float (patches, samples): one sample for each place it spans."""
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
