"""The settings of a schedule."""

from dataclasses import dataclass

_CONSTANT = "constant"


@dataclass(frozen=True)
class ScheduleConfig:
    """A value over training. In YAML a plain number stands for a constant, a plain word for a preset.

    Each schedule takes some of the settings; the others must be left out (`diffmask schedule --list`).
    """

    schedule: str = _CONSTANT
    """constant, linear, cosine, polynomial, tent, vee, warmup_decay, steps, piecewise, or a preset such as 30-15."""
    start: float | None = None
    """Value at the start; the value throughout where the schedule is constant (by default 0.15)."""
    end: float | None = None
    """Value at the end."""
    floor: float | None = None
    """The schedule never falls under this; by default 0.02 for the ratio and 0 for the strength."""
    middle: float | None = None
    """Value halfway: the top of a tent, the bottom of a vee."""
    peak: float | None = None
    """Value at the end of the warm-up of warmup_decay."""
    warmup: float | None = None
    """Share of training in which warmup_decay rises from `start` to `peak`."""
    power: float | None = None
    """Of a polynomial, by default 2."""
    ease: str | None = None
    """Of a polynomial: `out` changes fast at first (the default), `in` changes fast at the end."""
    at: tuple[float, ...] = ()
    """Progress of each value of steps and piecewise, rising from 0: [0, 0.5, 0.9]."""
    values: tuple[float, ...] = ()
    """Values of steps (each holds from its place in `at` on) and piecewise (joined by straight lines)."""
    normalise: str | None = None
    """`mean`: scale the schedule so that its mean over training is `mean`."""
    mean: float | None = None
    """Mean over training of a schedule with `normalise: mean`; by default 0.15."""
    bucket: float | None = None
    """Round to multiples of this, for models with static shapes; 0.05 gives 0.05, 0.1, ..."""

    def __post_init__(self):
        """Give a constant its default value."""
        if self.schedule == _CONSTANT and self.start is None:
            object.__setattr__(self, "start", 0.15)
