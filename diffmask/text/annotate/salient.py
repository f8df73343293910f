"""Salient spans that need no model: by a rule, and by a gazetteer.

The rule finds names, acronyms, dates and numbers of English text with regular expressions, which never match across
a line break. `docs/salient.md` shows what it finds.

A gazetteer lists phrases that are salient wherever they stand, such as the names of a domain's substances. A phrase is
found by its words, in upper or lower case. Between two words the text must have what the phrase has there, except that
spaces, a line break and a hyphen count as the same: "acetyl CoA" is found in "Acetyl-CoA", not in "acetyl, CoA".
"""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffmask.core.errors import InputError
from diffmask.files.tables import read_lines
from diffmask.text.annotate.span_file import SALIENT, LabelledSpans
from diffmask.text.corpus.words import INVISIBLE, char_classes, split_words, word_spans
from diffmask.text.segment.rows import STARTS, Annotator
from diffmask.text.segment.segmenter import Segments

LABELS = ("date", "year", "percentage", "amount", "quantity", "number", "name", "acronym")
"""If two labels fit the same stretch of text, the first one counts."""
_OPENERS = frozenset(
    """a about according accordingly after again all also although among an and another any are as at based because
    before besides both briefly but by can clearly compared consequently considering consistent conversely could
    currently despite did do does due during each either even every few finally first for from further furthermore
    given had has have he hence her here his how however i if importantly in indeed instead interestingly into is it
    its later likewise many meanwhile more moreover most much my nevertheless no none nonetheless not notably now of on
    once one only or other others our out over overall prior rather recent recently second several she should similarly
    since so some still subsequently such surprisingly taken than that the their them then there thereafter therefore
    these they third this those though three through thus to together two under unlike until up upon us using was we
    were what when where whereas whether which while who whose why with within without would yet you your
    eq eqs fig figs figure figures ref refs section table tables""".split()
)
"""Words that no name begins with, in upper or lower case."""
_ABBREVIATIONS = frozenset(
    """al approx ca cf ch dept dr e.g ed eds eq eqs etc ex fig figs gen gov hon i.e inc jr lt ltd mr mrs ms mt no nos
    prof ref refs rep rev sen sgt sp spp sr st tab vol vols vs""".split()
)
"""Abbreviations whose full stop does not end a sentence."""

_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = rf"(?:{'|'.join(_MONTHS)}|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
_LONE_MONTH = "|".join(month for month in _MONTHS if month not in ("March", "May"))
_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_YEAR = r"(?:1[0-9]|20)\d\d"
_ORDINAL = r"\d{1,2}(?:st|nd|rd|th)?"
_DAYS = rf"{_ORDINAL}(?:[ ]?[-\u2013][ ]?{_ORDINAL})?"
# Chinese, Japanese and Korean letters touch a number without being a part of it
_LETTER = r"[^\W\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]"
_BEFORE = rf"(?<!{_LETTER})(?<!\d[.,/:])(?<![^\W\d_]-)"
_AFTER = rf"(?!{_LETTER})(?![.,/:]\d)"
_SPACE = "[ \u00a0\u2009\u202f]?"
_NUMBER = r"\d+(?:[,\u2009\u202f]\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?"
_NUMBERS = rf"{_NUMBER}(?:(?:{_SPACE}(?:[-\u2013\u2212\u00b1\u00d7]|\+/-){_SPACE}|[ ]to[ ]){_NUMBER})?"
_LARGE = "(?:hundred|thousand|million|billion|trillion)"
_CURRENCY = "[$\u20ac\u00a3\u00a5\u20b9]"
_CURRENCY_NAME = r"(?:dollars?|cents?|euros?|pounds?[ ]sterling|yen|yuan|rupees?|USD|EUR|GBP|JPY|CHF|CNY|INR)"
_BASE_UNIT = "mol|Hz|Pa|eV|Da|bp|Ci|Bq|Sv|cal|bar"
_LONE_UNIT = "rpm|ppm|ppb|dB|IU|mins?|hrs?|secs?|wks?|yrs?|mo|[gmlLMVWJNKsUhd]"
_UNIT = rf"""(?:(?:[TGMkhdcmunpf\u00b5\u03bc](?:{_BASE_UNIT}|[gmlLMVWJNKsBbUAF\u03a9])|{_BASE_UNIT}|{_LONE_UNIT}
    |\u00b0{_SPACE}[CFK]|[\u2103\u00b0])(?:[\u00b2\u00b3]|\^?-?[1-3](?!\.?\d))?)"""
_UNIT_WORD = r"""(?:
    (?:milli|micro|nano|centi|kilo)?(?:seconds?|met(?:er|re)s?|grams?|lit(?:er|re)s?|mol(?:ar|es?)|watts?)
    |minutes?|hours?|days?|weeks?|months?|years?|decades?|centuries|miles?|feet|inch(?:es)?|tons?|tonnes?|pounds?|ounces?
    |gallons?|acres?|hectares?|degrees?(?:[ ](?:Celsius|Fahrenheit))?|volts?|(?:mega|giga)bytes?|fold|times)"""
_DATES = rf"""(?:{_DAY},?[ ])?(?:
        {_MONTH}[ ]{_DAYS},?[ ]{_YEAR} | {_DAYS}[ ](?:of[ ])?{_MONTH},?[ ]{_YEAR}
      | {_MONTH},?[ ]{_YEAR} | {_MONTH}[ ]{_DAYS}(?!\d) | {_DAYS}[ ](?:of[ ])?{_MONTH})
    | {_DAY}s? | {_LONE_MONTH}
    | {_YEAR}(?P<one>[-/.])\d\d?(?P=one)\d\d?(?:T\d\d:\d\d(?::\d\d)?Z?)?
    | \d\d?(?P<two>[-/.])\d\d?(?P=two){_YEAR} | \d\d?/\d\d?/\d\d
    | \d\d?(?:st|nd|rd|th)[ -]century(?:[ ](?:BCE?|AD|CE))?
    | {_YEAR}\u5e74(?:\d\d?\u6708(?:\d\d?\u65e5)?)? | \d\d?\u6708\d\d?\u65e5"""
_NUMERIC = rf"""{_BEFORE}(?:
    (?P<date>{_DATES})
  | (?P<percentage>{_NUMBERS}{_SPACE}(?:[%\u2030]|percent(?:age[ ]points?)?\b|per[ ]cent\b))
  | (?P<amount>(?:US|A|C|HK)?{_CURRENCY}{_SPACE}{_NUMBERS}(?:{_SPACE}(?:{_LARGE}|bn|[mMkB])\b)?
      | {_NUMBERS}(?:[ ]{_LARGE})?(?:{_SPACE}{_CURRENCY}|[ ]{_CURRENCY_NAME}\b))
  | (?P<quantity>pH[ ]{_NUMBERS} | (?!\d\d\d0s\b){_NUMBERS}(?:[ ]{_LARGE})?
      (?:{_SPACE}{_UNIT}(?:(?:/|\u00b7|[ ]per[ ])(?:{_UNIT}|kg|day|year))*|[ -]{_UNIT_WORD}))
  | (?P<year>(?:1[5-9]|20)\d\d(?:s|[-\u2013/](?:{_YEAR}|\d\d))?(?!-[^\W\d]) | (?:AD|CE)[ ]\d{{1,4}}
      | \d{{1,4}}[ ](?:BCE?|AD|CE))
  | (?P<number>{_NUMBERS}(?:[ ](?:{_LARGE}|dozen)\b)?(?!-[^\W\d]))
){_AFTER}"""
_LINK = r"""[ ](?:of[ ](?:the[ ])?|del?[ ](?:la[ ])?|de[rn][ ]|van[ ](?:de[rn]?[ ])?|von[ ]|d[iau][ ]|al-|&[ ])"""


class _NamePatterns(NamedTuple):
    """Patterns around names."""

    sequence: re.Pattern[str]
    """Capitalised words and acronyms in a row; its group `heading` is a row of words in capitals, which is no name."""
    first: re.Pattern[str]
    """The plain capitalised word that a sequence may begin with."""
    word: re.Pattern[str]
    """A word that makes a sequence a name and not an acronym."""


@functools.cache
def _numeric() -> re.Pattern[str]:
    """Return the pattern of dates and numbers; the name of the group that matches is the label."""
    return re.compile(_NUMERIC, re.VERBOSE)


@functools.cache
def _name_patterns() -> _NamePatterns:
    """Return the patterns of names, for the letters of all scripts that have case."""
    upper, lower = _letters(str.isupper), _letters(str.islower)
    # possessive, so that an endless word (a genome) takes linear time
    plain, letters = f"[{upper}][{lower}]++", rf"[{lower}{upper}\d]*"
    other = rf"[{upper}](?={letters}[{upper}\d]){letters}+|[{lower}]{{1,2}}[{upper}]{letters}+|[a-z]\d\d++"
    tail = rf"(?:-(?:{plain}|[{upper}\d\u03b1-\u03c9]+))*"
    word = rf"(?:[{upper}]['\u2019])?(?:{plain}|{other}){tail}(?!\w)"
    title = r"(?:(?:Dr|Mr|Mrs|Ms|Prof|Sen|Rep|Gov|Gen|Rev|Capt|Sgt|Lt|St|Mt)\.[ ])?"
    opener = "|".join(word.capitalize() for word in _OPENERS)
    element = rf"{title}(?:(?:[{upper}]\.[ ]?)+(?!(?:{opener})\b))?{word}"
    sequence = rf"""(?<![\w\u00b0])(?:
          (?P<heading>[{upper}]{{2,}}+(?:[ &]++(?:[AI][ ])?[{upper}]{{2,}}+){{3,}}(?!\w)
            |(?:[{upper}]{{2,}}+[ ]){{0,3}}[{upper}]{{5,}}+(?=:))
        | {element}(?:(?:{_LINK}|[ ]){element})* | [{upper}]\.(?:[{upper}]\.)+)"""
    return _NamePatterns(
        re.compile(sequence, re.VERBOSE),
        re.compile(rf"{plain}(?!\w)(?!-[{upper}\d])"),
        re.compile(rf"(?<!\w)(?:{plain}|[{upper}{lower}]*[{upper}][{lower}][{lower}][{upper}{lower}]*)(?!\w)"),
    )


def _letters(is_case: Callable[[str], bool]) -> str:
    """Return the letters of a case as ranges for a class of a regular expression, which has no name for them."""
    ranges: list[list[int]] = []
    for code in filter(lambda code: is_case(chr(code)), range(0x1E944)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


_RULES = 1
"""Version of the rule, to be raised when it finds something else."""
_ROW = {label: row for row, label in enumerate(LABELS)}
_OPENS_SENTENCE = re.compile("(?:^|[\n.!?:\u2026][\"'\u201d\u2019)\\]]*)[ \t]*[\"'\u201c\u2018(\\[\u2022*-]*[ \t]*$")
_ABBREVIATION = re.compile(r"([^\W_](?:[\w.]*\w)?)\.[ ]?$")
_LOOK_BACK = 16


def salient_rule() -> Annotator:
    """Return what finds names, acronyms, dates and numbers, to be masked as wholes."""
    return Annotator((SALIENT, STARTS), LABELS, f"rule {_RULES} {LABELS}", _by_rule)


def _by_rule(segments: Segments) -> dict[str, np.ndarray]:
    spans = ((start, stop, _ROW[label]) for start, stop, label in _find_salient(segments.text))
    return LabelledSpans.longest(spans).salient_units(segments)


def _find_salient(text: str) -> list[tuple[int, int, str]]:
    """Return start, end and label of what the rule finds; two may overlap, and then the longer one is meant.

    >>> text = "The Bank of England paid $3 million in May 1998."
    >>> [(text[start:stop], label) for start, stop, label in _find_salient(text)]
    [('$3 million', 'amount'), ('May 1998', 'date'), ('Bank of England', 'name'), ('May', 'name')]
    """
    dates_and_numbers = ((match.start(), match.end(), match.lastgroup) for match in _numeric().finditer(text))
    return [(start, stop, label) for start, stop, label in dates_and_numbers if label] + list(_names(text))


def _names(text: str) -> Iterator[tuple[int, int, str]]:
    patterns = _name_patterns()
    for match in patterns.sequence.finditer(text):
        if match.lastgroup == "heading":
            continue
        start = _name_start(text, match.start(), match.end())
        if start < match.end():
            is_name = patterns.word.search(text, start, match.end())
            yield start, match.end(), "name" if is_name else "acronym"


def _name_start(text: str, start: int, stop: int) -> int:
    """Return where a name begins in a sequence of capitalised words; `stop` if the word only opens a sentence."""
    patterns = _name_patterns()
    first = patterns.first.match(text, start, stop)
    if first is None:
        return start
    if first.group().lower() in _OPENERS:
        following = patterns.sequence.search(text, first.end(), stop)
        return following.start() if following else stop
    return stop if first.end() == stop and _opens_sentence(text, start) else start


def _opens_sentence(text: str, start: int) -> bool:
    before = text[max(start - _LOOK_BACK, 0) : start]
    if not _OPENS_SENTENCE.search(before):
        return False
    word = _ABBREVIATION.search(before)
    return not (word and (word[1].lower() in _ABBREVIATIONS or (len(word[1]) == 1 and word[1].isupper())))


_DEFAULT_LABEL = "phrase"
"""Label of phrases that are given none."""
_HYPHENS = "-\u2010\u2011\u2012\u2013\u2212"


@dataclass(slots=True)
class _Node:
    """A node of the tree of phrases: the words that may follow, each behind what stands before it, and a label."""

    children: dict[str, "_Node"] = field(default_factory=dict)
    label: str | None = None


def read_gazetteer(path: str | Path) -> Annotator:
    """Read a gazetteer, and check every line of it: a phrase, or a phrase, a tab and its label.

    Raises:
        InputError: If it is not such a file, a line holds no word, or a phrase has two labels.
    """
    path = Path(path).absolute()
    lines, digest = read_lines(path, "gazetteer")
    labels = _parse(path, lines)
    if not labels:
        raise InputError(f"the gazetteer {path} contains no phrases; write one in each line")
    key, names = f"gazetteer {digest}", tuple(sorted(set(labels.values())))
    return Annotator((SALIENT, STARTS), names, key, partial(_by_phrases, str(path), key, names))


def _by_phrases(path: str, key: str, names: tuple[str, ...], segments: Segments) -> dict[str, np.ndarray]:
    root = _phrases(path, key)
    row_of = {name: row for row, name in enumerate(names)}
    text = segments.text
    words = split_words(text)
    starts, stops = word_spans(segments.classes)
    rows = np.searchsorted(segments.text_starts, starts, side="right").tolist()
    starts, stops = starts.tolist(), stops.tolist()
    assert len(words) == len(starts)
    spans = []
    for first in [place for place, word in enumerate(words) if word in root.children]:
        node, last = root.children[words[first]], first
        while node is not None:
            if node.label is not None:
                spans.append((starts[first], stops[last], row_of[node.label]))
            last += 1
            if not node.children or last == len(words) or rows[last] != rows[first]:
                break
            node = node.children.get(_plain_gap(text[stops[last - 1] : starts[last]]) + words[last])
    return LabelledSpans.longest(spans).salient_units(segments)


def _parse(path: Path, lines: list[str]) -> dict[tuple[str, ...], str]:
    """Return the label of each phrase; its words are the key, each behind what stands before it."""
    labels: dict[tuple[str, ...], str] = {}
    first_lines: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        phrase, *rest = [cell.strip() for cell in line.strip().split("\t")]
        words = split_words(phrase)
        if not words or len(rest) > 1:
            reason = "more than one tab" if rest else "no word"
            raise InputError(f"{path}: line {number} has {reason}; write a phrase, or a phrase, a tab and its label")
        label = rest[0] if rest else _DEFAULT_LABEL
        starts, stops = (ends.tolist() for ends in word_spans(char_classes(phrase)))
        gaps = ["", *(_plain_gap(phrase[stop:start]) for stop, start in zip(stops, starts[1:], strict=False))]
        steps = tuple(gap + word for gap, word in zip(gaps, words, strict=True))
        if labels.setdefault(steps, label) != label:
            raise InputError(
                f"{path}: lines {first_lines[steps]} and {number} give {phrase!r} two labels, "
                f"{labels[steps]!r} and {label!r}; keep one"
            )
        first_lines.setdefault(steps, number)
    return labels


@functools.lru_cache(maxsize=4)
def _phrases(path: str, key: str) -> _Node:
    """Return the phrases of a file as a tree; read once in each process, as long as the key is the same."""
    root = _Node()
    lines, _ = read_lines(Path(path), "gazetteer")
    for steps, label in _parse(Path(path), lines).items():
        node = root
        for step in steps:
            node = node.children.setdefault(step, _Node())
        node.label = label
    return root


@functools.lru_cache(maxsize=1 << 12)
def _plain_gap(gap: str) -> str:
    """Return what stands between two words with all spaces and hyphens made one."""
    seen = gap.translate(INVISIBLE)
    return "".join(char for char in seen if not char.isspace() and char not in _HYPHENS) or (" " if gap else "")
