"""Schedules: frozen functions of training progress, for the mask ratio and for the strength."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass


class Schedule(ABC):
    """A value for every progress in [0, 1]; what lies outside is clamped."""

    def __call__(self, progress: float) -> float:
        """Return the value at `progress`, the share of training that is done."""
        return self.value(min(1.0, max(0.0, progress)))

    @abstractmethod
    def value(self, progress: float) -> float:
        """Return the value at `progress` in [0, 1]."""

    @property
    def breaks(self) -> tuple[float, ...]:
        """Progress between 0 and 1 at which it bends or jumps, for who integrates it."""
        return ()


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
        power: Above 1 it bends; 1 is a straight line.
        ease_in: False changes fast at first and slowly at the end, `(1 - t)^power` of the way left, as polynomial
            learning rates do; True changes slowly at first, `t^power` of the way done.
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
        """Return the point of the line that is passed."""
        right = min(bisect_right(self.at, progress), len(self.at) - 1)
        share = (progress - self.at[right - 1]) / (self.at[right] - self.at[right - 1])
        return self.values[right - 1] + (self.values[right] - self.values[right - 1]) * share

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where it bends."""
        return self.at[1:-1]
