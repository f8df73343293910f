"""Schedules: frozen functions of training progress, for the mask ratio and for the strength.

First the shapes, then what wraps any of them (`Floor`, `Scaled`, `Buckets`), then `mean` and how to reach one.
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Schedule(ABC):
    """A value for every progress in [0, 1]; progress outside is clamped."""

    def __call__(self, progress: float) -> float:
        """Return the value at `progress`, the share of training that is done."""
        return self.value(min(1.0, max(0.0, progress)))

    @abstractmethod
    def value(self, progress: float) -> float:
        """Return the value at `progress` in [0, 1]."""

    @property
    def breaks(self) -> tuple[float, ...]:
        """Progress between 0 and 1 at which the schedule bends or jumps; between two breaks a shape is monotone."""
        return ()

    def range(self, progress: float) -> tuple[float, float]:
        """Return the least and the greatest value that rows can have at `progress`; they differ only where it draws."""
        return self(progress), self(progress)

    def held(self, progress: float) -> "Schedule":
        """Return what stays as this is at `progress`."""
        return Constant(self(progress))


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value throughout."""

    start: float

    def value(self, progress: float) -> float:
        """Return the constant."""
        return self.start


@dataclass(frozen=True)
class Linear(Schedule):
    """A straight line from `start` to `end` (Yang et al. 2023, masking ratio decay: from 2p to 0)."""

    start: float
    end: float

    def value(self, progress: float) -> float:
        """Return the point of the line."""
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine wave from `start` to `end` (Yang et al. 2023: from 2p + 0.02 to 0.02)."""

    start: float
    end: float

    def value(self, progress: float) -> float:
        """Return the point of the wave."""
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Polynomial(Schedule):
    """A power of progress from `start` to `end`.

    Attributes:
        start: Value at the start.
        end: Value at the end.
        power: The power; 1 gives a straight line.
        ease_in: False changes fast at first and slowly at the end, like polynomial learning rates: `(1 - t)^power` of
            the way is left. True changes slowly at first: `t^power` of the way is done.
    """

    start: float
    end: float
    power: float = 2.0
    ease_in: bool = False

    def value(self, progress: float) -> float:
        """Return the point of the curve."""
        left = 1 - progress**self.power if self.ease_in else (1 - progress) ** self.power
        return self.end + (self.start - self.end) * left


@dataclass(frozen=True)
class Steps(Schedule):
    """Each value holds from its progress in `at` to the next one; the first of them is 0."""

    at: tuple[float, ...]
    values: tuple[float, ...]

    def value(self, progress: float) -> float:
        """Return the value that holds."""
        return self.values[bisect_right(self.at, progress) - 1]

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where it jumps."""
        return self.at[1:]


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Straight lines through the points of `at` and `values`; `at` rises from 0 to 1."""

    at: tuple[float, ...]
    values: tuple[float, ...]

    def value(self, progress: float) -> float:
        """Return the point of the line on which the progress lies."""
        right = min(bisect_right(self.at, progress), len(self.at) - 1)
        share = (progress - self.at[right - 1]) / (self.at[right] - self.at[right - 1])
        return self.values[right - 1] + (self.values[right] - self.values[right - 1]) * share

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where it bends."""
        return self.at[1:-1]


@dataclass(frozen=True)
class Random(Schedule):
    """A value drawn evenly between `low` and `high` for each row of each step; its course is the mean of the draws.

    Only a mask ratio can be drawn. As in R2MAE (arXiv 2509.21650).

    Attributes:
        low: Least value.
        high: Greatest value.
        size: Only multiples of this are drawn, all as often; 0 draws any value. Both ends must be multiples of it.
    """

    low: float
    high: float
    size: float = 0.0

    def value(self, progress: float) -> float:
        """Return the mean of what is drawn."""
        return (self.low + self.high) / 2

    def range(self, progress: float) -> tuple[float, float]:
        """Return both ends."""
        return self.low, self.high

    def held(self, progress: float) -> Schedule:
        """Return this, which never changes."""
        return self

    def draw(self, noise: "Tensor") -> "Tensor":
        """Return the value for each uniform in (0, 1), of the same shape and type."""
        if self.size == 0:
            return self.low + (self.high - self.low) * noise
        first, last = round(self.low / self.size), round(self.high / self.size)
        return (first + (noise * (last - first + 1)).floor()) * self.size


MEAN_TOLERANCE = 1e-6
"""How close `find_factor` comes to the mean that is asked for."""


@dataclass(frozen=True)
class _Wrapped(Schedule):
    """Another schedule, changed value by value."""

    schedule: Schedule

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where the other one bends or jumps."""
        return self.schedule.breaks


@dataclass(frozen=True)
class Floor(_Wrapped):
    """Another schedule that never falls below `floor`: where a ratio decays to zero, no loss would be defined."""

    floor: float = 0.02

    def value(self, progress: float) -> float:
        """Return the larger of the two."""
        return max(self.floor, self.schedule.value(progress))


@dataclass(frozen=True)
class Scaled(_Wrapped):
    """Another schedule times `factor`, and never above 1: the same shape at another mean."""

    factor: float

    def value(self, progress: float) -> float:
        """Return the scaled value."""
        return min(1.0, self.factor * self.schedule.value(progress))


@dataclass(frozen=True)
class Buckets(_Wrapped):
    """Another schedule, rounded to multiples of `size`, for models with static shapes.

    No value above 0 is rounded to 0, and none to less than `least` or more than 1.
    """

    size: float
    least: float = 0.0

    def value(self, progress: float) -> float:
        """Return the nearest multiple that is allowed."""
        value = self.schedule.value(progress)
        # rounded first, since a quotient that should be whole may be a hair above or below
        lowest = math.ceil(round(self.least / self.size, 9))
        nearest = max(lowest, math.floor(value / self.size + 0.5), 1 if value > 0 else 0)
        return round(self.size * min(nearest, math.floor(round(1 / self.size, 9))), 12)


def mean(schedule: Schedule, tolerance: float = 1e-9) -> float:
    """Return the average over training: the integral over progress from 0 to 1.

    It must be exact, not a mean over some steps: the mean of a schedule in buckets jumps with each step that changes
    its bucket, and no factor would come within `MEAN_TOLERANCE` of a given mean. Adaptive Simpson quadrature needs few
    values for it, from 64 intervals and the schedule's breaks.

    >>> from diffmask.core.schedule import Linear
    >>> round(mean(Floor(Linear(0.3, 0.0), 0.02)), 9)
    0.150666667
    """
    cuts = sorted({0.0, 1.0, *(index / 64 for index in range(1, 64)), *schedule.breaks})
    return sum(_simpson(schedule, left, right, tolerance * (right - left)) for left, right in pairwise(cuts))


def _simpson(schedule: Schedule, left: float, right: float, tolerance: float) -> float:
    """Return the integral over an interval, halved until two estimates agree."""
    width, first, last = right - left, schedule(left), schedule(right)
    quarters = [schedule(left + width * part / 4) for part in (1, 2, 3)]
    coarse = width / 6 * (first + 4 * quarters[1] + last)
    fine = width / 12 * (first + 4 * quarters[0] + 2 * quarters[1] + 4 * quarters[2] + last)
    # a jump never agrees, but weighs nothing once its interval is this narrow
    if abs(fine - coarse) <= 15 * tolerance or width < 1e-10:
        return fine
    middle = left + width / 2
    return _simpson(schedule, left, middle, tolerance / 2) + _simpson(schedule, middle, right, tolerance / 2)


def find_factor(scaled: Callable[[float], Schedule], target: float, largest: float = 1e6) -> tuple[float, float]:
    """Return two factors, as close as floats are, between which the mean of `scaled(factor)` passes `target`.

    The mean must not fall as the factor grows. If even `largest` stays below the target, both are `largest`; if even 0
    is above it, both are 0.
    """
    low, high = 0.0, 1.0
    if mean(scaled(0.0)) >= target:
        return 0.0, 0.0
    while mean(scaled(high)) < target:
        if high >= largest:
            return largest, largest
        low, high = high, high * 2
    while low < (middle := (low + high) / 2) < high and high - low > 1e-13 * high:
        if mean(scaled(middle)) < target:
            low = middle
        else:
            high = middle
    return low, high
