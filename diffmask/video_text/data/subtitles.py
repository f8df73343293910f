"""Subtitles: SubRip (.srt) and WebVTT (.vtt) as people have them, read as far as they can be.

    cues, faults = read_subtitles(Path("clip.srt"))
    for (start, end), text in segments(cues, clip.duration, 8.0):
        print(start, end, text)

Times are what such files are read by: a line with "-->" begins a cue, whatever stands before it. So a missing number,
a missing or an extra blank line, or a header of another format costs nothing; each is counted.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from diffmask.core.errors import InputError
from diffmask.video.read.dataset import Span
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.times import seconds_of

SUBTITLE_SUFFIXES = (".srt", ".vtt")
_ARROW = "-->"
_TIMES = re.compile(r"\s*([\d:.,]+)\s*-->\s*([\d:.,]+)(?:\s.*)?")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_BLOCKS = ("NOTE", "STYLE", "REGION")
"""What blocks of WebVTT begin with that are not shown."""
_MOST_BYTES = 1 << 26
_GAP = 0.1
"""Seconds between cues of which one repeats the other's last line, as captions that scroll do."""

_UNREADABLE = "cues whose times cannot be read are left out"
_EMPTY = "cues without text are left out"
_REPEATED = "cues that only repeat the line before are left out"
_EXCHANGED = "cues that end before they begin (their times are exchanged)"
_NO_NUMBER = "cues without a number"
_POINTS = "times with another decimal point than the format's"
_HOURS = "times without hours"
_OVERLAP = "cues that begin before the one before ends"
_ORDER = "cues that begin before the one before begins (put in order)"
_LATIN = "files that are not UTF-8 (read as Windows-1252)"


@dataclass(frozen=True)
class Cue:
    """A text and when it is shown, in seconds."""

    start: float
    end: float
    text: str


def read_subtitles(path: Path) -> tuple[list[Cue], Faults]:
    """Return the cues of a file in the order of their times, and what is wrong with it, by line.

    Raises:
        InputError: If it is not there, or not one cue can be read.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path} is larger than {_MOST_BYTES >> 20} MB, which no file of subtitles is; check the path")
    faults = Faults()
    lines = _decoded(path, faults).splitlines()
    is_vtt = path.suffix.lower() == ".vtt" or (bool(lines) and lines[0].startswith("WEBVTT"))
    cues = list(_in_order(_cues(lines, faults, is_vtt=is_vtt), faults))
    if not cues:
        why = str(faults) or f"no line holds two times with {_ARROW} between them"
        raise InputError(f"{path} has no subtitle that can be read ({why}); give SubRip (.srt) or WebVTT (.vtt)")
    return cues, faults


def cues_of(entries: Sequence[Any], faults: Faults) -> list[Cue]:
    """Return the cues of objects with text, start and end, in the order of their times.

    Args:
        entries: The objects.
        faults: Gets what is wrong with them.
    """
    cues = []
    for number, entry in enumerate(entries, 1):
        given = entry if isinstance(entry, dict) else {}
        where = f"cue {number}"
        start, end = seconds_of(given.get("start")), seconds_of(given.get("end"))
        text = " ".join(str(given.get("text") or "").split())
        if start is None or end is None:
            faults.add(_UNREADABLE, where)
        elif not text:
            faults.add(_EMPTY, where)
        else:
            if end < start:
                faults.add(_EXCHANGED, where)
            cues.append(Cue(min(start, end), max(start, end), text))
    return list(_in_order(iter(cues), faults))


def _decoded(path: Path, faults: Faults) -> str:
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        faults.add(_LATIN, path.name)
        return content.decode("cp1252", "replace")


def _cues(lines: Sequence[str], faults: Faults, *, is_vtt: bool) -> Iterator[Cue]:
    """Yield the cues as they stand in a file."""
    begins = [number for number, line in enumerate(lines) if _ARROW in line]
    last_line, last_end = "", 0.0
    for begin, after in pairwise([*begins, len(lines)]):
        where = f"line {begin + 1}"
        span = _span(lines[begin], where, faults, is_vtt=is_vtt)
        if not is_vtt and not (begin and lines[begin - 1].strip().isdecimal()):
            faults.add(_NO_NUMBER, where)
        body = lines[begin + 1 : after]
        if after < len(lines):
            body = _without_name(body, is_vtt=is_vtt)
        shown = list(_shown(body, is_vtt=is_vtt))
        if span is None:
            continue
        new = shown[1:] if is_vtt and shown[:1] == [last_line] and span[0] <= last_end + _GAP else shown
        if new:
            yield Cue(*span, " ".join(new))
        else:
            faults.add(_REPEATED if shown else _EMPTY, where)
        last_line, last_end = (shown[-1] if shown else last_line), span[1]


def _span(line: str, where: str, faults: Faults, *, is_vtt: bool) -> Span | None:
    """Return the times of a line; None if they cannot be read."""
    match = _TIMES.fullmatch(line)
    times = [seconds_of(time) for time in match.groups()] if match else [None]
    if match is None or times[0] is None or times[1] is None:
        faults.add(_UNREADABLE, where)
        return None
    if ("," if is_vtt else ".") in match[1] + match[2]:
        faults.add(_POINTS, where)
    if not is_vtt and min(time.count(":") for time in match.groups()) < 2:
        faults.add(_HOURS, where)
    if times[1] < times[0]:
        faults.add(_EXCHANGED, where)
    return min(times[0], times[1]), max(times[0], times[1])


def _without_name(body: Sequence[str], *, is_vtt: bool) -> Sequence[str]:
    """Return the lines between two lines of times without the number, or in WebVTT the name, of the next cue."""
    last = body[-1].strip() if body else ""
    is_name = is_vtt and (len(body) == 1 or (len(body) > 1 and not body[-2].strip()))
    return body[:-1] if last.isdecimal() or is_name else body


def _shown(body: Sequence[str], *, is_vtt: bool) -> Iterator[str]:
    """Yield the lines of a cue that are shown, without markup."""
    is_hidden, after_blank = False, False
    for line in body:
        if not line.strip():
            is_hidden, after_blank = False, True
            continue
        if is_vtt and after_blank and line.split()[0] in _BLOCKS:
            is_hidden = True
        after_blank = False
        text = " ".join(html.unescape(_MARKUP.sub("", line)).split())
        if text and not is_hidden:
            yield text


def _in_order(cues: Iterator[Cue], faults: Faults) -> Iterator[Cue]:
    found = list(cues)
    for one, other in pairwise(found):
        if other.start < one.start:
            faults.add(_ORDER, f"at {other.start:g} s")
    ordered = sorted(found, key=lambda cue: cue.start)
    for one, other in pairwise(ordered):
        if other.start < one.end:
            faults.add(_OVERLAP, f"at {other.start:g} s")
    return iter(ordered)


def segments(cues: Sequence[Cue], duration: float, seconds: float) -> Iterator[tuple[Span, str]]:
    """Yield equal parts of a clip, of about so many seconds, with all that is said in each; silent ones are left out.

    Args:
        cues: What is said, in order; a cue that lasts beyond a part is said in the next one too.
        duration: Seconds of the clip.
        seconds: How long a part is wanted.
    """
    num_parts = max(1, round(duration / seconds))
    for part in range(num_parts):
        start, end = duration * part / num_parts, duration * (part + 1) / num_parts
        said = [cue.text for cue in cues if cue.start < end and (cue.end > start or cue.start >= start)]
        if said:
            yield (start, end), " ".join(said)
