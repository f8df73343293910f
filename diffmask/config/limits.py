"""What a setting may be, said beside its field, and the one place that checks it.

A field carries its limit in its type, `ratio: Annotated[float, share("0.15 masks 15 %")] = 0.15`, and `check_limits`
reads them all. What depends on two settings at once, or on the machine, is checked where both are known.
"""

import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, TypeVar

from diffmask.core.errors import InputError

T = TypeVar("T")
_MOST_NAME_BYTES = 100
_MOST_SHOWN = 40
_MOST, _MOST_FLOAT = 10**12, 1e38
"""A number without a bound of its own is a mistake if it is larger; the second of those that need not be whole."""
_MARKS = {ord(char): None for char in "-_."}


class Limit(Protocol):
    """What a value may be."""

    def refusal(self, name: str, value: Any) -> str | None:
        """Return one sentence (given, allowed, remedy) if the setting `name` may not be `value`, else None."""
        ...


@dataclass(frozen=True)
class Between:
    """A number, or each number of a list, in an interval; not-a-number never is.

    Attributes:
        low: The least value.
        high: The greatest value.
        remedy: What to give, or what a usual value does: "0.06 warms up for 6 %".
        without_low: Whether `low` itself is refused.
        without_high: Whether `high` itself is refused.
        finite: Whether infinity is refused.
    """

    low: float
    high: float = math.inf
    remedy: str = ""
    without_low: bool = False
    without_high: bool = False
    finite: bool = True

    def refusal(self, name: str, value: Any) -> str | None:
        """Return one sentence if a value lies outside."""
        values = _each(value)
        if all(self._holds(each) for each in values):
            most = _MOST_FLOAT if any(isinstance(each, float) for each in values) else _MOST
            return AtMost(most).refusal(name, value) if self.finite and self.high == math.inf else None
        shown = _shown(value)
        each = "hold numbers " if isinstance(value, tuple) else "be "
        if self.high < math.inf:
            brackets = "(" if self.without_low else "[", ")" if self.without_high else "]"
            interval = f"{brackets[0]}{self.low:g}, {self.high:g}{brackets[1]}"
            said = f"must hold numbers in {interval}" if isinstance(value, tuple) else f"is outside {interval}"
        else:
            said = f"must {each}{'above' if self.without_low else 'at least'} {self.low:g}"
            said += " and finite" * (self.finite and math.inf in values)
        return f"{name}={shown} {said}" + (f"; {self.remedy}" if self.remedy else "")

    def _holds(self, value: float) -> bool:
        if self.finite and isinstance(value, float) and not math.isfinite(value):
            return False
        above = value > self.low if self.without_low else value >= self.low
        return above and (value < self.high if self.without_high else value <= self.high)


@dataclass(frozen=True)
class AtMost:
    """A number, or each number of a list, up to what a machine can hold or a run can last."""

    most: float
    remedy: str = ""

    def refusal(self, name: str, value: Any) -> str | None:
        """Return one sentence if a value lies above, or is no number."""
        if all(each <= self.most for each in _each(value)):
            return None
        most = f"{self.most:,}" if isinstance(self.most, int) else f"{self.most:g}"
        return f"{name}={_shown(value)} is above {most}, which is the most" + (
            f"; {self.remedy}" if self.remedy else ""
        )


def _shown(value: Any) -> str:
    """Return a number, or a list of numbers, for a message."""
    text = f"{value:g}" if isinstance(value, float) else str(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


STEPS, EPOCHS = AtMost(10**9), AtMost(10**6)
ROWS = AtMost(2**16, "give what the memory holds")
PROCESSES = AtMost(1024, "more processes than processors are no faster")
SEED = AtMost(2**32 - 1, "NumPy has no larger seeds")
LENGTH = AtMost(10**6)


@dataclass(frozen=True)
class OneOf:
    """One of some words, or a list of them."""

    choices: tuple[str, ...]

    def refusal(self, name: str, value: Any) -> str | None:
        """Return one sentence if a word is none of them."""
        values = _each(value)
        unknown = next((each for each in values if each not in self.choices), None)
        return None if unknown is None else f"unknown {name} {unknown!r}; choose from: {', '.join(self.choices)}"


@dataclass(frozen=True)
class Name:
    """A name that becomes a part of a path and a word of a command: it leads nowhere else, and is no option.

    Attributes:
        reserved: Names of files and folders that stand beside it, in lower case.
        plain: Whether it may hold only letters, digits, -, _ and the full stop.
    """

    reserved: tuple[str, ...] = ()
    plain: bool = False

    def refusal(self, name: str, value: Any) -> str | None:
        """Return one sentence if a word cannot be such a name."""
        shown = repr(value if len(value) <= _MOST_NAME_BYTES else f"{value[:_MOST_NAME_BYTES]}...")
        if self.plain and not value.translate(_MARKS).isalnum():
            return f"{shown} in `{name}` is no name; use letters, digits, -, _ and ."
        if value.casefold() in self.reserved:
            return f"{shown} in `{name}` is the name of a file or a folder of diffmask; choose another"
        if len(value.encode("utf-8", "surrogatepass")) > _MOST_NAME_BYTES:
            return f"{shown} in `{name}` is longer than {_MOST_NAME_BYTES} bytes; choose a shorter name"
        leads = value.startswith((".", "-")) or any(char in "/\\" or not char.isprintable() for char in value)
        if leads or value.strip() != value or not value:
            return (
                f"{shown} in `{name}` is no name; begin with a letter, and leave / and \\ and what cannot be seen out"
            )
        return None


@dataclass(frozen=True)
class NotEmpty:
    """A list of at least one."""

    remedy: str

    def refusal(self, name: str, value: Any) -> str | None:
        """Return one sentence if the list is empty."""
        return None if value else f"{name} is empty; {self.remedy}"


def share(remedy: str) -> Between:
    """Return the limit of a share in [0, 1]."""
    return Between(0, 1, remedy)


def share_below_one(remedy: str) -> Between:
    """Return the limit of a share in [0, 1): something must be left."""
    return Between(0, 1, remedy, without_high=True)


def at_least(low: float, remedy: str = "", *, finite: bool = True) -> Between:
    """Return the limit of a number without an upper bound, which may be infinite where infinity means something."""
    return Between(low, remedy=remedy, finite=finite)


def above(low: float, remedy: str = "", *, finite: bool = True) -> Between:
    """Return the limit of a number that must exceed another, and may be infinite where infinity means something."""
    return Between(low, remedy=remedy, without_low=True, finite=finite)


def check_limits(settings: Any, where: str = "") -> None:
    """Refuse a value that its field does not allow, in this group of settings and in those inside.

    Args:
        settings: A dataclass of settings; None stands for what may be left out, and is not checked.
        where: What stands before the name of a setting in messages, such as `training.`.

    Raises:
        InputError: For the first of them, with what was given, what is allowed and what to do.
    """
    refused = next(_refusals(settings, where), None)
    if refused is not None:
        raise InputError(refused)


def check_value(name: str, value: Any, *limits: Limit) -> None:
    """Refuse a value that is no field of settings, such as an argument of a function or an option of a command.

    Raises:
        InputError: For the first limit that does not allow it.
    """
    refused = next(filter(None, (limit.refusal(name, value) for limit in limits)), None)
    if refused is not None:
        raise InputError(refused)


def _refusals(settings: Any, where: str) -> Iterator[str]:
    hints = typing.get_type_hints(type(settings), include_extras=True)
    for each in fields(settings):
        name, value = where + each.name, getattr(settings, each.name)
        if is_dataclass(value):
            yield from _refusals(value, f"{name}.")
        limits = getattr(hints[each.name], "__metadata__", ())
        for limit in limits:
            said = None if value is None else limit.refusal(name, value)
            if said is not None:
                yield said
        if not limits and any(isinstance(one, float) and not math.isfinite(one) for one in _each(value)):
            yield f"{name}={_shown(value)} must be finite; give a number"


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def choose(table: Mapping[str, T], name: str, what: str) -> T:
    """Return `table[name]`.

    Raises:
        InputError: If there is no such name; it says which there are.
    """
    if name not in table:
        raise InputError(f"unknown {what} {name!r}; choose from: {', '.join(sorted(table))}")
    return table[name]
