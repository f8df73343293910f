"""Salient spans by rule: names, acronyms, dates and numbers, found without any other package or file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from diffmask.text.annotate.salient_patterns import ABBREVIATIONS, LABELS, OPENERS, name_patterns, numeric
from diffmask.text.annotate.span_labels import SALIENT, longest_first, salient_units
from diffmask.text.segment.annotate import STARTS
from diffmask.text.segment.segmenter import Segments

RULES = 1
"""Version of the rules, to be raised when they find something else."""
_ROW = {label: row for row, label in enumerate(LABELS)}
_OPENS_SENTENCE = re.compile("(?:^|[\n.!?:\u2026][\"'\u201d\u2019)\\]]*)[ \t]*[\"'\u201c\u2018(\\[\u2022*-]*[ \t]*$")
_ABBREVIATION = re.compile(r"([^\W_](?:[\w.]*\w)?)\.[ ]?$")
_LOOK_BACK = 16


@dataclass(frozen=True)
class RuleSalient:
    """Names, acronyms, dates and numbers are masked as wholes."""

    columns: tuple[str, ...] = field(default=(SALIENT, STARTS), init=False)
    names: tuple[str, ...] = field(default=LABELS, init=False)
    key: str = field(default=f"rule {RULES} {LABELS}", init=False)

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the label of each unit's span, and where spans begin."""
        found = [(start, stop, _ROW[label]) for start, stop, label in find_salient(segments.text)]
        return salient_units(segments, longest_first(found))


def find_salient(text: str) -> list[tuple[int, int, str]]:
    """Return start, end and label of what the rule finds; where two overlap, the longer one is meant.

    >>> text = "The Bank of England paid $3 million in May 1998."
    >>> [(text[start:stop], label) for start, stop, label in find_salient(text)]
    [('$3 million', 'amount'), ('May 1998', 'date'), ('Bank of England', 'name'), ('May', 'name')]
    """
    dates_and_numbers = ((match.start(), match.end(), match.lastgroup) for match in numeric().finditer(text))
    return [(start, stop, label) for start, stop, label in dates_and_numbers if label] + list(_names(text))


def _names(text: str) -> Iterator[tuple[int, int, str]]:
    patterns = name_patterns()
    for match in patterns.sequence.finditer(text):
        if match.lastgroup == "heading":
            continue
        start = _name_start(text, match.start(), match.end())
        if start < match.end():
            is_name = patterns.word.search(text, start, match.end())
            yield start, match.end(), "name" if is_name else "acronym"


def _name_start(text: str, start: int, stop: int) -> int:
    """Return where a name begins in a sequence of capitalised words; `stop` if it only opens a sentence."""
    patterns = name_patterns()
    first = patterns.first.match(text, start, stop)
    if first is None:
        return start
    if first.group().lower() in OPENERS:
        following = patterns.sequence.search(text, first.end(), stop)
        return following.start() if following else stop
    return stop if first.end() == stop and _opens_sentence(text, start) else start


def _opens_sentence(text: str, start: int) -> bool:
    before = text[max(start - _LOOK_BACK, 0) : start]
    if not _OPENS_SENTENCE.search(before):
        return False
    word = _ABBREVIATION.search(before)
    return not (word and (word[1].lower() in ABBREVIATIONS or (len(word[1]) == 1 and word[1].isupper())))
