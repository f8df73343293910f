"""Patterns of the built-in rule for salient spans: what names, acronyms, dates and numbers look like in English text.

Regular expressions over the text as it stands. None reaches over a line's end. `docs/salient.md` shows what they find.
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

LABELS = ("date", "year", "percentage", "amount", "quantity", "number", "name", "acronym")
"""Where two fit the same stretch of text, the first has it."""
OPENERS = frozenset(
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
"""Words that no name begins with, whatever their case."""
ABBREVIATIONS = frozenset(
    """al approx ca cf ch dept dr e.g ed eds eq eqs etc ex fig figs gen gov hon i.e inc jr lt ltd mr mrs ms mt no nos
    prof ref refs rep rev sen sgt sp spp sr st tab vol vols vs""".split()
)
"""Their full stop does not end a sentence."""

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


class NamePatterns(NamedTuple):
    """Patterns around names."""

    sequence: re.Pattern[str]
    """Capitalised words and acronyms in a row; its group `heading` is a row of words in capitals, which is no name."""
    first: re.Pattern[str]
    """The plain capitalised word that a sequence may begin with."""
    word: re.Pattern[str]
    """A word that makes a sequence a name and not an acronym."""


@functools.cache
def numeric() -> re.Pattern[str]:
    """Return the pattern of dates and numbers; the name of the group that matches is the label."""
    return re.compile(_NUMERIC, re.VERBOSE)


@functools.cache
def name_patterns() -> NamePatterns:
    """Return the patterns of names, for the letters of all scripts that have case."""
    upper, lower = _letters(str.isupper), _letters(str.islower)
    # possessive, so that an endless word (a genome) takes linear time
    plain, letters = f"[{upper}][{lower}]++", rf"[{lower}{upper}\d]*"
    other = rf"[{upper}](?={letters}[{upper}\d]){letters}+|[{lower}]{{1,2}}[{upper}]{letters}+|[a-z]\d\d++"
    tail = rf"(?:-(?:{plain}|[{upper}\d\u03b1-\u03c9]+))*"
    word = rf"(?:[{upper}]['\u2019])?(?:{plain}|{other}){tail}(?!\w)"
    title = r"(?:(?:Dr|Mr|Mrs|Ms|Prof|Sen|Rep|Gov|Gen|Rev|Capt|Sgt|Lt|St|Mt)\.[ ])?"
    opener = "|".join(word.capitalize() for word in OPENERS)
    element = rf"{title}(?:(?:[{upper}]\.[ ]?)+(?!(?:{opener})\b))?{word}"
    sequence = rf"""(?<![\w\u00b0])(?:
          (?P<heading>[{upper}]{{2,}}+(?:[ &]++(?:[AI][ ])?[{upper}]{{2,}}+){{3,}}(?!\w)
            |(?:[{upper}]{{2,}}+[ ]){{0,3}}[{upper}]{{5,}}+(?=:))
        | {element}(?:(?:{_LINK}|[ ]){element})* | [{upper}]\.(?:[{upper}]\.)+)"""
    return NamePatterns(
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
