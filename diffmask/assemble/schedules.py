"""Names of schedules, and what each takes."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from diffmask.assemble.presets import PRESETS
from diffmask.assemble.schedule_checks import check_values
from diffmask.config import ScheduleConfig
from diffmask.core.errors import InputError
from diffmask.core.schedule import Constant, Cosine, Linear, Piecewise, Polynomial, Schedule, Steps
from diffmask.core.schedule_limits import MEAN_TOLERANCE, Buckets, Floor, Scaled, find_factor, mean

RATIO_FLOOR = 0.02
"""A ratio that decays never falls under this: with nothing masked the loss is undefined."""

MEAN = 0.15
"""What `normalise: mean` scales to where nothing else is said (Devlin et al. 2019)."""


class Shape(NamedTuple):
    """A schedule by name.

    Attributes:
        make: Makes it of its settings.
        needs: Settings that must be given.
        takes: Settings that may be given.
    """

    make: Callable[..., Schedule]
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()


def _polynomial(start: float, end: float, power: float = 2.0, ease: str = "out") -> Schedule:
    return Polynomial(start, end, power, ease_in=ease == "in")


def _bent(start: float, middle: float) -> Schedule:
    return Piecewise((0.0, 0.5, 1.0), (start, middle, start))


def _warmup_decay(start: float, peak: float, end: float, warmup: float) -> Schedule:
    return Piecewise((0.0, warmup, 1.0), (start, peak, end))


SCHEDULES: dict[str, Shape] = {
    "constant": Shape(Constant, ("start",)),
    "linear": Shape(Linear, ("start", "end")),
    "cosine": Shape(Cosine, ("start", "end")),
    "polynomial": Shape(_polynomial, ("start", "end"), ("power", "ease")),
    "tent": Shape(_bent, ("start", "middle")),
    "vee": Shape(_bent, ("start", "middle")),
    "warmup_decay": Shape(_warmup_decay, ("start", "peak", "end", "warmup")),
    "steps": Shape(Steps, ("at", "values")),
    "piecewise": Shape(Piecewise, ("at", "values")),
}

COMMON = ("floor", "normalise", "mean", "bucket")
"""Settings that every schedule takes."""
_OWN = ("start", "end", "middle", "peak", "warmup", "power", "ease", "at", "values")


def build_schedule(config: ScheduleConfig, what: str, floor: float) -> Schedule:
    """Return a schedule whose values lie in [0, 1].

    Args:
        config: Its settings.
        what: Name of the setting, for messages.
        floor: Lowest value where the config names none.

    Raises:
        InputError: If a setting is missing, cannot be used, or cannot take effect.
    """
    schedule = _shape(config, what)
    lowest = floor if config.floor is None else config.floor
    least, most = _extremes(schedule)
    finish = partial(_finish, schedule, lowest, config.bucket)
    if config.bucket is not None:
        _check_bucket(config.bucket, lowest, what)
    if config.normalise is not None:
        factor = _factor(finish, MEAN if config.mean is None else config.mean, what, lowest)
    elif most < lowest:
        raise InputError(f"`{what}` never rises over its floor of {lowest:g}; raise it, or set {what}.floor lower")
    else:
        factor = 1.0
    if config.floor is not None and factor * least >= max(config.floor, floor):
        raise InputError(
            f"`{what}` has a floor of {config.floor:g} but never falls under {factor * least:g}; drop {what}.floor"
        )
    schedule = finish(factor)
    if isinstance(schedule, Buckets) and _same(schedule, schedule.schedule):
        raise InputError(
            f"`{what}` has buckets of {schedule.size:g}, and all its values are multiples of it already; drop bucket"
        )
    return schedule


def _shape(config: ScheduleConfig, what: str) -> Schedule:
    """Return the schedule before floor, mean and buckets."""
    name = config.schedule
    if name not in SCHEDULES and name not in PRESETS:
        raise InputError(
            f"unknown schedule in `{what}` {name!r}; choose from: {', '.join(sorted(SCHEDULES))}; or a preset: "
            f"{', '.join(sorted(PRESETS))}"
        )
    given = {key: value for key in _OWN if (value := getattr(config, key)) not in (None, ())}
    if name in PRESETS:
        _refuse_unused(
            given, (), f"`{what}` is the preset {name}", "to choose your own, name a schedule such as linear"
        )
        check_values(config, what)
        return PRESETS[name].schedule
    make, needs, takes = SCHEDULES[name]
    _refuse_unused(given, needs + takes, f"`{what}` is {name}", f"{name} takes {', '.join(needs + takes)}")
    for key in needs:
        if key not in given:
            raise InputError(f"`{what}` is {name} and has no {key}; add {what}.{key}=...")
    check_values(config, what)
    return make(**given)


def _refuse_unused(given: dict[str, Any], used: tuple[str, ...], it_is: str, remedy: str) -> None:
    for key, value in given.items():
        if key not in used:
            article = "" if key in ("at", "values") else "an " if key[0] in "aeiou" else "a "
            raise InputError(f"{it_is} and has {article}{key} ({value}), which it does not use; drop {key} ({remedy})")


def _extremes(schedule: Schedule) -> tuple[float, float]:
    """Return the least and the greatest value; between two breaks every shape rises, falls or stays."""
    values = [schedule(progress) for progress in (0.0, *schedule.breaks, 1.0)]
    return min(values), max(values)


def _same(one: Schedule, other: Schedule) -> bool:
    """Tell whether two schedules have the same values, on a grid."""
    places = (*one.breaks, *(index / 256 for index in range(257)))
    return all(abs(one(place) - other(place)) < 1e-9 for place in places)


def _finish(schedule: Schedule, floor: float, bucket: float | None, factor: float) -> Schedule:
    """Return the schedule that is followed; wrappers that change nothing are left out."""
    if factor != 1.0:
        schedule = Scaled(schedule, factor)
    if _extremes(schedule)[0] < floor:
        schedule = Floor(schedule, floor)
    return schedule if bucket is None else Buckets(schedule, bucket, floor)


def _check_bucket(bucket: float, floor: float, what: str) -> None:
    if Buckets(Constant(1.0), bucket, floor)(0.0) < floor:
        raise InputError(
            f"`{what}` has buckets of {bucket:g} and a floor of {floor:g}, with no multiple between the floor and 1; "
            "lower one of the two"
        )


def _factor(finish: Callable[[float], Schedule], target: float, what: str, floor: float) -> float:
    """Return the factor that gives a schedule its mean, floor, cap and buckets included."""
    below, above = find_factor(finish, target)
    for factor in (above, below):
        if factor > 0.0 and abs(mean(finish(factor)) - target) <= MEAN_TOLERANCE:
            return factor
    low, high = mean(finish(below)), mean(finish(above))
    if above == 0.0:
        raise InputError(
            f"`{what}` cannot have a mean of {target:g} over training: with its floor of {floor:g} the mean is over "
            f"{low:.6g}, however far it is scaled down; raise {what}.mean, or lower {what}.floor"
        )
    if below == above:
        raise InputError(
            f"`{what}` cannot have a mean of {target:g} over training: its mean stays under {high:.6g}, however far it "
            f"is scaled up, because no value exceeds 1; lower {what}.mean"
        )
    raise InputError(
        f"`{what}` cannot have a mean of {target:g} over training: with its buckets the nearest means are {low:.6f} "
        f"and {high:.6f}; set {what}.mean to one of them, or drop bucket"
    )
