"""What a word is, said once: classes of characters, and the words and types of a text.

A word is a maximal run of letters (L, M and N of Unicode). In scripts that are written without spaces (Han, kana,
Thai, ...) each character is a word. Punctuation and symbols are never part of a word. A combining mark, or a character
that nobody sees, belongs to the character before it.

A *type* is what a reader sees as one word, however it is encoded: in lower case, composed, in the plain form of its
letters, and without what is not seen. `docs/words.md` has the rule and examples. A type is for comparison alone: tokens
and offsets are those of the text.

All of this works on arrays of code points: a table gives the class of each, and shifted comparisons give the places
where words begin. A loop over characters would take longer than tokenising.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

RULE = 2
"""Version of what words and types are, to be raised when a text gives others: caches and counts depend on it."""

SPACE, PUNCT, UNSPACED, LETTER, MARK = range(5)
"""Classes of characters; `MARK` is a combining mark on an `UNSPACED` character, and belongs to the same word."""

_UNSPACED_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # Han: iteration mark, closing mark, zero
    (0x3021, 0x303C),  # Han: numerals and repeat marks
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo, extended
    (0x31F0, 0x31FF),  # Katakana, phonetic extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA9E0, 0xA9FF),  # Myanmar, extended B
    (0xAA60, 0xAADF),  # Myanmar, extended A; Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9D),  # Katakana, half width
    (0x1AFF0, 0x1B16F),  # kana, supplements and extensions
    (0x20000, 0x3FFFF),  # Han, extensions B and later
)
_VOICING_MARKS = (0xFF9E, 0xFF9F)  # half width
_INVISIBLE_RANGES = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # grapheme joiner
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0x200B, 0x200F),  # zero-width space, joiners, direction marks
    (0x202A, 0x202E),  # embedding of directions
    (0x2060, 0x206F),  # word joiner, invisible operators, isolation of directions
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # Hangul filler, half width
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),  # shorthand format controls
    (0x1D173, 0x1D17A),  # musical format controls
    (0xE0000, 0xE0FFF),  # tags, variation selectors
)
"""Default_Ignorable_Code_Point of Unicode: characters that nobody sees."""
_ZERO_WIDTH_SPACE, _NON_JOINER, _JOINER = 0x200B, 0x200C, 0x200D
_LAST_ASSIGNED = 0x40000  # above: tags, variation selectors and private use, no letters
_JOINERS = _NON_JOINER, _JOINER
INVISIBLE = dict.fromkeys({code for first, last in _INVISIBLE_RANGES for code in range(first, last + 1)} - {*_JOINERS})
"""For `str.translate`: drops what nobody sees. A joiner is seen where it keeps letters apart."""
_BATCH_CHARS = 1 << 16
"""Short texts are split together, in batches of this many characters: a call of numpy costs as much as a sentence."""


@functools.cache
def _table() -> np.ndarray:
    """Return the class of every code point before its context is known: uint8 (0x110000,)."""
    of_category = {"L": LETTER, "N": LETTER, "M": MARK, "Z": SPACE}
    chars = map(chr, range(_LAST_ASSIGNED))
    categories = [unicodedata.category(char) for char in chars]
    table = np.full(0x110000, PUNCT, dtype=np.uint8)
    table[:_LAST_ASSIGNED] = [of_category.get(category[0], PUNCT) for category in categories]
    is_digit = np.array([category in ("Nd", "No") for category in categories])
    for first, last in _UNSPACED_RANGES:
        rows = slice(first, last + 1)
        # a number is one word in every script
        table[rows][(table[rows] == LETTER) & ~is_digit[rows]] = UNSPACED
    table[[code for code in range(256) if unicodedata.category(chr(code)) == "Cc" and chr(code).isspace()]] = SPACE
    table[[*INVISIBLE, *_JOINERS, *_VOICING_MARKS]] = MARK
    return table


@functools.cache
def _ascii_types(language: str | None) -> str:
    """Return the translation of ASCII text to lower-case words between spaces."""
    classes, capitals = _table()[:128], _rules(language).capitals
    chars = [chr(code).translate(capitals).lower() for code in range(128)]
    return "".join(char if classes[code] == LETTER else " " for code, char in enumerate(chars))


def code_points(text: str) -> np.ndarray:
    """Return the code point of each character; uint8 where a text is ASCII, which most are, else uint32."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _classes(points: np.ndarray) -> np.ndarray:
    classes = _table()[points]
    marks = classes == MARK
    if marks.any():
        places = np.where(marks, -1, np.arange(len(classes)))
        before = np.maximum.accumulate(places)  # the last character that is no mark: a mark belongs to it
        owner = np.where(before < 0, SPACE, classes[before])[marks]
        inherited = np.array([PUNCT, PUNCT, MARK, LETTER], dtype=np.uint8)  # a mark on nothing is punctuation
        classes[marks] = inherited[owner]
        # a zero-width space is not seen inside a word of letters; anywhere else it is the space that its name says
        breaks = np.flatnonzero(points == _ZERO_WIDTH_SPACE)
        inside = (classes[breaks] == LETTER) & (np.append(classes, SPACE)[breaks + 1] == LETTER)
        classes[breaks[~inside & (classes[breaks] != MARK)]] = SPACE
    return classes


def char_classes(text: str) -> np.ndarray:
    """Return the class of each character: uint8, one per code point.

    Marks and joiners have the class of the character they belong to, so a word is a run of `LETTER`, or one `UNSPACED`
    with the `MARK`s that follow it; `unit_starts` says where each begins.

    >>> char_classes("p53, don't").tolist() == [LETTER] * 3 + [PUNCT, SPACE] + [LETTER] * 3 + [PUNCT, LETTER]
    True
    """
    return _classes(code_points(text))


def unit_starts(classes: np.ndarray) -> np.ndarray:
    """Return where a word or a punctuation character begins: bool, one per class of `char_classes`.

    >>> unit_starts(char_classes("ab, c")).tolist()
    [True, False, True, False, True]
    """
    letters = classes == LETTER
    starts = (classes == PUNCT) | (classes == UNSPACED) | letters
    starts[1:] &= ~(letters[1:] & letters[:-1])
    return starts


def word_spans(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last character (exclusive) of each word of `split_words`, int64 (W,) each.

    >>> [ends.tolist() for ends in word_spans(char_classes("ab, c"))]
    [[0, 4], [2, 5]]
    """
    opens = unit_starts(classes)
    starts = np.flatnonzero(opens & ((classes == LETTER) | (classes == UNSPACED)))
    # a word ends where something else opens or stands, or at the end of the text
    ends = np.flatnonzero(np.append(opens | (classes < UNSPACED), True))
    return starts, ends[ends.searchsorted(starts + 1)]


class _Rules(NamedTuple):
    """What a language does with letters otherwise than Unicode's default; for `str.translate`."""

    capitals: dict[int, int | str] = {}
    """Lower case of capitals."""
    letters: dict[int, int | str] = {}
    """Letters that count as others."""


_TURKIC = _Rules({**str.maketrans("I\u0130", "\u0131i")}, {**str.maketrans("\u0219\u021b", "\u015f\u0163")})
_LANGUAGES = {
    "az": _TURKIC,
    "tr": _TURKIC,
    "ro": _Rules({}, {**str.maketrans("\u015f\u0163", "\u0219\u021b")}),  # a comma below, not a cedilla
    "de": _Rules({}, {0xDF: "ss"}),
}
_HIDDEN, _JOINS, _WHOLE, _POINTED = 1, 2, 4, 8
"""What becomes of a character in a type: it is dropped; its neighbours decide; it stays whole, because its plain form
is no part of a word (a half is 1/2); it may hold points, which Arabic and Hebrew may leave out."""
_STRETCH = 0x0640  # the line that makes an Arabic word longer
_POINTED_RANGES = ((0x0591, 0x08FF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFC))
_POINTS = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc"
_POINTS += "\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0897-\u089f\u08ca-\u08e1\u08e3-\u08ff\ufb1e"
_POINT = re.compile(rf"(?<=\S)[{_POINTS}]|[{_POINTS}]+(?=[^\s{_POINTS}])")  # what is nothing but these stays
_FINAL_SIGMA = re.compile("(?:(?<=[^\\W\\d_])|(?<=[\u0300-\u036f]))\u03c3(?![\\w\u0300-\u036f])")
_SECOND_DOT = re.compile("(?<=[ij\u012f\u0268\u0456\u0458\u1ecb])\u0307")
_STAND_INS = 0x40000
"""Unassigned characters from here on, which nothing composes with, stand for those that stay whole."""
_NEXT, _BEFORE, _TRANSPARENT, _VIRAMA = 1, 2, 4, 8
"""Joins the letter after it; joins the one before; is passed over; makes a conjunct with the letter after it."""


def _rules(language: str | None) -> _Rules:
    return _LANGUAGES.get(language or "", _Rules())


@functools.cache
def _traits() -> np.ndarray:
    """Return the traits of every code point: uint8 (0x110000,)."""
    classes = _table().tobytes()
    traits = np.zeros(0x110000, dtype=np.uint8)
    for first, last in _POINTED_RANGES:
        traits[first : last + 1] = _POINTED
    rests = {LETTER: (LETTER, MARK), UNSPACED: (MARK,), MARK: (MARK,)}
    for code in range(_LAST_ASSIGNED):
        char, own = chr(code), classes[code]
        plain = unicodedata.normalize("NFKC", char)
        if own in rests:
            first, *others = [classes[ord(part)] for part in plain]
            if plain != char and (first != own or any(other not in rests[own] for other in others)):
                traits[code] |= _WHOLE
        elif code > 127 and (plain != char or char.lower() != char):
            traits[code] |= _WHOLE
    traits[_STAND_INS : _INVISIBLE_RANGES[-1][0]] = _WHOLE
    traits[[*INVISIBLE]] = _HIDDEN
    traits[list(_JOINERS)] = _JOINS
    return traits


@functools.cache
def _joining() -> np.ndarray:
    """Return how every code point joins its neighbours (ArabicShaping.txt of Unicode): uint8 (0x110000,)."""
    import regex

    joining = np.zeros(0x110000, dtype=np.uint8)
    chars = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x20000)]))
    kinds = {"Dual_Joining": _NEXT | _BEFORE, "Left_Joining": _NEXT, "Right_Joining": _BEFORE}
    for name, kind in {**kinds, "Join_Causing": _NEXT | _BEFORE, "Transparent": _TRANSPARENT}.items():
        joining[[ord(char) for char in regex.findall(rf"\p{{Joining_Type={name}}}", chars)]] = kind
    joining[[ord(char) for char in chars if unicodedata.combining(char) == 9]] |= _VIRAMA
    joining[[*_JOINERS, _STRETCH]] = _TRANSPARENT
    return joining


def _silent(points: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return which joiners change nothing that is seen, bool, one for each character (UAX 31, section 2.3.1).

    One counts after the sign that joins consonants of India; a non-joiner also between two letters that would join.
    """
    kinds, places = _joining()[points], np.arange(len(points))
    joiners = np.isin(points, _JOINERS)
    solid = (kinds & _TRANSPARENT) == 0
    # the character at the end, a space, is what those without a neighbour find
    kinds, classes = np.append(kinds, 0), np.append(classes, SPACE)
    before = np.maximum.accumulate(np.where(solid, places, -1))
    after = np.minimum.accumulate(np.where(solid, places, len(points))[::-1])[::-1]
    parts = (kinds[before] & _NEXT > 0) & (kinds[after] & _BEFORE > 0) & (points == _NON_JOINER)
    conjunct = np.append(False, kinds[:-2] & _VIRAMA > 0)
    following = np.minimum.accumulate(np.where(joiners, len(points), places)[::-1])[::-1]
    conjunct &= (points == _JOINER) | (classes[following] >= UNSPACED)
    repeated = np.append(False, joiners[:-1])
    return joiners & (repeated | ~(parts | conjunct)) & (classes[:-1] >= UNSPACED)


def _spell(points: np.ndarray, classes: np.ndarray, rules: _Rules) -> str:
    """Return a text in which each word is spelled as its type; what is in no word stays as it is."""
    traits = _traits()[points]
    hidden = ((traits & _HIDDEN) > 0) & (classes >= UNSPACED)
    if hidden.any():
        points, classes, traits = points[~hidden], classes[~hidden], traits[~hidden]
    if (traits & _JOINS).any():
        silent = _silent(points, classes)
        points, traits = points[~silent], traits[~silent]
    whole = (traits & _WHOLE) > 0
    kept, numbers = np.unique(points[whole], return_inverse=True)
    spelled = points.astype("<u4")
    spelled[whole] = _STAND_INS + numbers
    text = spelled.tobytes().decode("utf-32-le", "surrogatepass")
    text = unicodedata.normalize("NFKC", text)
    if rules.capitals:
        text = text.translate(rules.capitals)
    text = text.lower()
    if "\u0307" in text:
        text = _SECOND_DOT.sub("", text)  # of a small letter that has its dot
    # some letters are composed with their accents only as small letters
    text = unicodedata.normalize("NFKC", text)
    if (traits & _POINTED).any():
        text = _POINT.sub("", text)
    if rules.letters or len(kept):
        text = text.translate(rules.letters | {_STAND_INS + row: code for row, code in enumerate(kept.tolist())})
    if "\u03c3" in text or "\u03c2" in text:
        text = _FINAL_SIGMA.sub("\u03c2", text.replace("\u03c2", "\u03c3"))
    return text


def split_words(text: str, language: str | None = None) -> list[str]:
    """Return the types of a text's words, in order.

    >>> split_words("BRCA1-mutated cells don't grow; 细胞")
    ['brca1', 'mutated', 'cells', 'don', 't', 'grow', '细', '胞']

    Args:
        text: The text.
        language: Code of a language whose own case and letters count (`I` is a capital `\u0131` in Turkish, "tr").
    """
    if text.isascii():
        return text.translate(_ascii_types(language)).split()
    points = code_points(text)
    classes = _classes(points)
    in_word = classes >= UNSPACED
    spaced = np.where(in_word, points, ord(" "))
    unspaced = (classes == UNSPACED) | (classes == MARK)
    if unspaced.any():
        # a word that touches the one before it gets a space in front
        touches = unit_starts(classes)
        touches[0] = False
        touches[1:] &= in_word[1:] & in_word[:-1]
        places = np.flatnonzero(touches)
        spaced, classes = np.insert(spaced, places, ord(" ")), np.insert(classes, places, SPACE)
    return _spell(spaced, classes, _rules(language)).split()


def types_of(words: Sequence[str], language: str | None = None) -> list[str]:
    """Return the type of each word, which may be several words ("5-fluorouracil") or a symbol: these stay in place.

    >>> types_of(["BRCA1", "be\u00adcause", "\ufb01nal", "5-Fluorouracil"])
    ['brca1', 'because', 'final', '5-fluorouracil']
    """
    rules = _rules(language)
    type_of = {word: word.translate(rules.capitals).lower() for word in set(words) if word.isascii()}
    others = [word for word in dict.fromkeys(words) if word not in type_of]
    if others:
        text = "\n".join(word.replace("\n", " ") for word in others)
        points = code_points(text)
        type_of |= zip(others, _spell(points, _classes(points), rules).split("\n"), strict=True)
    return [type_of[word] for word in words]


def count_words(texts: Iterable[str], counts: Counter[str] | None = None, language: str | None = None) -> Counter[str]:
    """Return how often each type occurs in the texts, which are read once and not kept.

    Counts that are given are added to, and returned.
    """
    counts = Counter() if counts is None else counts
    batch: list[str] = []
    num_chars = 0
    for text in texts:
        batch.append(text)
        num_chars += len(text)
        if num_chars >= _BATCH_CHARS:
            counts.update(split_words("\n".join(batch), language))
            batch, num_chars = [], 0
    counts.update(split_words("\n".join(batch), language))
    return counts
