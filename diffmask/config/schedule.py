"""The settings of a schedule."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScheduleConfig:
    """A value over training. In YAML a plain number stands for a constant."""

    schedule: str = "constant"
    """constant, linear or cosine."""
    start: float = 0.15
    """Value at the start; the value throughout where the schedule is constant."""
    end: float | None = None
    """Value at the end, for every schedule but constant."""
    floor: float | None = None
    """The schedule never falls under this; by default 0.02 for the ratio and 0 for the strength."""
