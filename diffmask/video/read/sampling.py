"""Which frames of a clip are looked at: a span with steps, one of each segment, or several spans.

`place` in [0, 1) says where, and is drawn by the caller: what is drawn twice is the same frames.
"""

import math


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
