"""What the settings of a schedule may be."""

from itertools import pairwise

from diffmask.config import ScheduleConfig
from diffmask.core.errors import InputError

_VALUES = ("start", "end", "middle", "peak", "floor")


def check_values(config: ScheduleConfig, what: str) -> None:
    """Refuse settings that cannot be used.

    Args:
        config: The settings.
        what: Name of the schedule's setting, for messages.
    """
    for value in (*(getattr(config, key) for key in _VALUES), *config.values):
        if value is not None and not 0.0 <= value <= 1.0:
            raise InputError(f"`{what}` has the value {value:g}, which is outside [0, 1]; 0.15 means 15 %")
    if config.warmup is not None and not 0.0 < config.warmup < 1.0:
        raise InputError(f"`{what}.warmup` is {config.warmup:g}, which is outside (0, 1); 0.08 means 8 % of training")
    if config.power is not None and not 0.0 < config.power < float("inf"):
        raise InputError(f"`{what}.power` is {config.power:g}, which is not above 0; 1 is a line, 2 a square")
    if config.ease not in (None, "in", "out"):
        raise InputError(f"`{what}.ease` is {config.ease!r}; choose from: in (slow at first), out (fast at first)")
    if config.bucket is not None and not 0.0 < config.bucket <= 1.0:
        raise InputError(f"`{what}.bucket` is {config.bucket:g}, which is outside (0, 1]; 0.05 gives 5 %, 10 %, ...")
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


def _check_mean(config: ScheduleConfig, what: str) -> None:
    if config.normalise not in (None, "mean"):
        raise InputError(f"`{what}.normalise` is {config.normalise!r}; `mean` is the only one there is")
    if config.mean is not None and config.normalise is None:
        raise InputError(
            f"`{what}` has a mean ({config.mean:g}), which takes effect with normalise only; add "
            f"{what}.normalise=mean, or drop mean"
        )
    if config.mean is not None and not 0.0 < config.mean <= 1.0:
        raise InputError(f"`{what}.mean` is {config.mean:g}, which is outside (0, 1]; 0.15 means 15 %")
    if config.schedule == "constant" and config.normalise is not None:
        raise InputError(f"`{what}` is constant, so its mean is its value; drop normalise, and set {what}.start")
