"""Times as files write them: seconds, clock times, and spans of two of them."""

import math
import re
from collections.abc import Sequence
from typing import Any

from diffmask.video.read.dataset import Span

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d*)?)")
_TWO = (
    re.compile(r"([\d:.,]+)\s*(?:-|to|;|,\s|\s)\s*([\d:.,]+)"),
    re.compile(r"([\d:.]+),([\d:.]+)"),
)
"""Two times with something between them that cannot be a decimal point; or else with a comma."""


def seconds_of(value: Any) -> float | None:
    """Return a time in seconds, of a number, its text, or a clock time; None of anything else, and below 0.

    >>> seconds_of("12.5"), seconds_of("01:02,5"), seconds_of("1:00:01"), seconds_of("nan"), seconds_of(-1)
    (12.5, 62.5, 3601.0, None, None)
    """
    text = "" if value is None else str(value).strip()
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
    try:
        number = float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def span_of(value: Any) -> Span | None:
    """Return two times in seconds, of a list or a text of two; None unless the second is after the first.

    >>> span_of("76.01-84.2"), span_of([0.0, 5.4]), span_of("[1,2.5]"), span_of("1:00 to 1:05"), span_of("1,5-2,5")
    ((76.01, 84.2), (0.0, 5.4), (1.0, 2.5), (60.0, 65.0), (1.5, 2.5))
    >>> span_of("nan-nan"), span_of("3-2"), span_of("5"), span_of([1, 2, 3]), span_of(None)
    (None, None, None, None, None)
    """
    parts: Sequence[Any] = value if isinstance(value, list | tuple) else _two_times(str(value))
    if len(parts) != 2:
        return None
    start, end = map(seconds_of, parts)
    return (start, end) if start is not None and end is not None and start < end else None


def _two_times(text: str) -> Sequence[str]:
    match = next(filter(None, (each.fullmatch(text.strip(" []()")) for each in _TWO)), None)
    return match.groups() if match else ()
