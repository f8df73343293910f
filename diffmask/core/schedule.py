"""Schedules: frozen functions of training progress, for the mask ratio and for the strength."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


class Schedule(ABC):
    """A value for every progress in [0, 1]; what lies outside is clamped."""

    def __call__(self, progress: float) -> float:
        """Return the value at `progress`, the share of training that is done."""
        return self.value(min(1.0, max(0.0, progress)))

    @abstractmethod
    def value(self, progress: float) -> float:
        """Return the value at `progress` in [0, 1]."""


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
class Floor(Schedule):
    """Another schedule that never falls under `floor`, which keeps the loss defined where a ratio decays to zero."""

    schedule: Schedule
    floor: float = 0.02

    def value(self, progress: float) -> float:
        """Return the larger of the two."""
        return max(self.floor, self.schedule.value(progress))
