"""Schedules by name, and what each takes; and those that papers have used, with the papers' constants."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from diffmask.config import ScheduleConfig
from diffmask.config.limits import check_limits
from diffmask.core.errors import InputError
from diffmask.core.schedule import (
    MEAN_TOLERANCE,
    Buckets,
    Constant,
    Cosine,
    Floor,
    Linear,
    Piecewise,
    Polynomial,
    Random,
    Scaled,
    Schedule,
    Steps,
    find_factor,
    mean,
)


def _check_values(config: ScheduleConfig, what: str) -> None:
    """Refuse settings that do not go together.

    Args:
        config: The settings.
        what: Name of the schedule's setting, for messages.
    """
    if config.schedule in ("tent", "vee"):
        _check_middle(config, what)
    if config.schedule in ("steps", "piecewise"):
        _check_points(config, what)
    _check_mean(config, what)


def _check_middle(config: ScheduleConfig, what: str) -> None:
    """Refuse a tent that is a vee."""
    name, start, middle = config.schedule, config.start, config.middle
    assert start is not None and middle is not None
    if name == "tent" and middle <= start or name == "vee" and middle >= start:
        side, other = ("above", "vee") if name == "tent" else ("under", "tent")
        raise InputError(
            f"`{what}` is a {name} whose middle ({middle:g}) is not {side} its start ({start:g}); change one of the "
            f"two, or use {other}"
        )


def _check_points(config: ScheduleConfig, what: str) -> None:
    """Refuse points that do not make a function of progress."""
    at, joined = config.at, config.schedule == "piecewise"
    if len(at) != len(config.values) or len(at) < 2:
        raise InputError(
            f"`{what}` has {len(at)} numbers in `at` and {len(config.values)} in `values`; give two or more, and as "
            "many in both"
        )
    allowed = "it must rise from 0 to 1" if joined else "it must rise from 0 and stay under 1"
    ends = at[0] == 0.0 and (at[-1] == 1.0 if joined else at[-1] < 1.0)
    if not ends or not all(left < right for left, right in pairwise(at)):
        shown = ", ".join(f"{each:g}" for each in at)
        example = "[0, 0.5, 1]" if joined else "[0, 0.5]"
        raise InputError(f"`{what}.at` is [{shown}]; {allowed}, such as {example}")


def _drawn(drawn: Random, floor: float, bucket: float | None, what: str) -> Random:
    """Return a ratio that is drawn, of multiples of `bucket` where it is given; refuse ends that cannot be drawn."""
    low, high, size = drawn.low, drawn.high, bucket or 0.0
    if low >= high:
        raise InputError(
            f"`{what}` is drawn between {low:g} and {high:g}; give a high above the low, such as low: 0.15, high: 0.9"
        )
    if low < floor:
        raise InputError(
            f"`{what}` is drawn from {low:g} on, which is under its floor of {floor:g}; raise {what}.low, or set "
            f"{what}.floor lower"
        )
    for name, end in (("low", low), ("high", high)):
        if size and abs(end / size - round(end / size)) > 1e-9:
            raise InputError(
                f"`{what}` is drawn in buckets of {size:g}, and its {name} ({end:g}) is no multiple of it, so the mean "
                f"would not be that of low and high; change one of the two"
            )
    return replace(drawn, size=size)


def _check_mean(config: ScheduleConfig, what: str) -> None:
    if config.mean is not None and config.normalise is None:
        raise InputError(
            f"`{what}` has a mean ({config.mean:g}), which takes effect with normalise only; add "
            f"{what}.normalise=mean, or drop mean"
        )
    if config.schedule == "random" and config.normalise is not None:
        raise InputError(
            f"`{what}` is drawn at random, so its mean is halfway between low and high; drop normalise, and move them"
        )
    if config.schedule == "constant" and config.normalise is not None:
        raise InputError(f"`{what}` is constant, so its mean is its value; drop normalise, and set {what}.start")


_MRD = "Yang et al. 2023 (arXiv 2208.10806)"
_P = 0.15  # the constant ratio that masking ratio decay replaces (Devlin et al. 2019)
_WARMUP = 80_000 / 1_000_000  # the published code warms up for 80,000 steps; its base model trains for 1,000,000
_MMBERT = (2300, 600, 100)  # thousand millions of tokens in pretraining, context extension and decay of mmBERT


class _Preset(NamedTuple):
    """A schedule that a paper used.

    Attributes:
        schedule: Its values, before any floor.
        source: Where it comes from.
        formula: Its values in words, t = progress and p = 0.15.
    """

    schedule: Schedule
    source: str
    formula: str


PRESETS: dict[str, _Preset] = {
    "mrd-linear": _Preset(Linear(2 * _P, 0.0), _MRD, "2p (1 - t)"),
    "mrd-cosine": _Preset(Cosine(2 * _P + 0.02, 0.02), _MRD, "p (1 + cos(pi t)) + 0.02"),
    "mrd-ascending": _Preset(Linear(0.0, 2 * _P), _MRD, "2p t"),
    "mrd-square-above": _Preset(Polynomial(2 * _P + 0.01, 0.01, ease_in=True), _MRD, "2p (1 - t^2) + 0.01"),
    "mrd-square-below": _Preset(Polynomial(2 * _P, 0.0), _MRD, "2p (1 - t)^2"),
    "mrd-tent": _Preset(Piecewise((0.0, 0.5, 1.0), (0.0, 2 * _P, 0.0)), _MRD, "2p (1 - |1 - 2t|)"),
    "mrd-vee": _Preset(Piecewise((0.0, 0.5, 1.0), (2 * _P + 0.01, 0.01, 2 * _P + 0.01)), _MRD, "2p |1 - 2t| + 0.01"),
    "mrd-warmup-decay": _Preset(
        Piecewise((0.0, _WARMUP, 1.0), (0.0, 2 * _P, 0.0)), _MRD, "0 to 2p by t = 0.08, then to 0"
    ),
    "30-15": _Preset(Linear(0.30, 0.15), "Ankner et al. 2024 (arXiv 2305.15096)", "0.30 - 0.15 t"),
    "30-15-5": _Preset(
        Steps((0.0, _MMBERT[0] / sum(_MMBERT), (_MMBERT[0] + _MMBERT[1]) / sum(_MMBERT)), (0.30, 0.15, 0.05)),
        "mmBERT, Marone et al. 2025 (arXiv 2509.06888)",
        "0.30, 0.15 from 0.767, 0.05 from 0.967",
    ),
}


RATIO_FLOOR = 0.02
"""A ratio that decays never falls under this: with nothing masked the loss is undefined."""

MEAN = 0.15
"""What `normalise: mean` scales to where nothing else is said (Devlin et al. 2019)."""


class _Shape(NamedTuple):
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


SCHEDULES: dict[str, _Shape] = {
    "constant": _Shape(Constant, ("start",)),
    "linear": _Shape(Linear, ("start", "end")),
    "cosine": _Shape(Cosine, ("start", "end")),
    "polynomial": _Shape(_polynomial, ("start", "end"), ("power", "ease")),
    "tent": _Shape(_bent, ("start", "middle")),
    "vee": _Shape(_bent, ("start", "middle")),
    "warmup_decay": _Shape(_warmup_decay, ("start", "peak", "end", "warmup")),
    "steps": _Shape(Steps, ("at", "values")),
    "piecewise": _Shape(Piecewise, ("at", "values")),
    "random": _Shape(Random, ("low", "high")),
}

COMMON = ("floor", "normalise", "mean", "bucket")
"""Settings that every schedule takes."""
_OWN = ("start", "end", "middle", "peak", "warmup", "power", "ease", "at", "values", "low", "high")


def build_schedule(config: ScheduleConfig, what: str, floor: float) -> Schedule:
    """Return a schedule whose values lie in [0, 1].

    Args:
        config: Its settings.
        what: Name of the setting, for messages.
        floor: Lowest value where the config names none.

    Raises:
        InputError: If a setting is missing, cannot be used, or cannot take effect.
    """
    check_limits(config, f"{what}.")
    schedule = _shape(config, what)
    lowest = floor if config.floor is None else config.floor
    least, most = _extremes(schedule)
    if isinstance(schedule, Random):
        schedule = _drawn(schedule, lowest, config.bucket, what)
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
        _check_values(config, what)
        return PRESETS[name].schedule
    make, needs, takes = SCHEDULES[name]
    _refuse_unused(given, needs + takes, f"`{what}` is {name}", f"{name} takes {', '.join(needs + takes)}")
    for key in needs:
        if key not in given:
            raise InputError(f"`{what}` is {name} and has no {key}; add {what}.{key}=...")
    _check_values(config, what)
    return make(**given)


def _refuse_unused(given: dict[str, Any], used: tuple[str, ...], it_is: str, remedy: str) -> None:
    for key, value in given.items():
        if key not in used:
            article = "" if key in ("at", "values") else "an " if key[0] in "aeiou" else "a "
            raise InputError(f"{it_is} and has {article}{key} ({value}), which it does not use; drop {key} ({remedy})")


def _extremes(schedule: Schedule) -> tuple[float, float]:
    """Return the least and the greatest value; between two breaks every shape rises, falls or stays."""
    values = [value for progress in (0.0, *schedule.breaks, 1.0) for value in schedule.range(progress)]
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
    return schedule if bucket is None or isinstance(schedule, Random) else Buckets(schedule, bucket, floor)


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
