"""What a word is, said once: classes of characters, and the words and types of a text.

A word is a maximal run of letters (L, M and N of Unicode). In scripts that are written without spaces (Han, kana,
Thai, ...) each character is a word. Punctuation and symbols are never part of a word. A combining mark, or a joiner
inside a word, belongs to the character before it. A *type* is a word in lower case (`str.lower`).

All of this works on arrays of code points: a table gives the class of each, and shifted comparisons give the places
where words begin. A loop over characters would take longer than tokenising.
"""

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np

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
_JOINERS = (0x00AD, 0x200C, 0x200D, 0xFF9E, 0xFF9F)  # soft hyphen, the two zero-width joiners, half-width voicing marks
_ZERO_WIDTH_SPACE = 0x200B
_LAST_ASSIGNED = 0x40000  # above: tags, variation selectors and private use, no letters
_VARIATION_SELECTORS = (0xE0100, 0xE01EF)
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
    table[_ZERO_WIDTH_SPACE] = SPACE
    table[list(_JOINERS)] = MARK
    table[_VARIATION_SELECTORS[0] : _VARIATION_SELECTORS[1] + 1] = MARK
    return table


@functools.cache
def _ascii_types() -> str:
    """Return the translation of ASCII text to lower-case words between spaces."""
    classes = _table()[:128]
    return "".join(chr(code).lower() if classes[code] == LETTER else " " for code in range(128))


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


def split_words(text: str) -> list[str]:
    """Return the types of a text in order: its words in lower case.

    >>> split_words("BRCA1-mutated cells don't grow; 细胞")
    ['brca1', 'mutated', 'cells', 'don', 't', 'grow', '细', '胞']
    """
    if text.isascii():
        return text.translate(_ascii_types()).split()
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
        spaced = np.insert(spaced, np.flatnonzero(touches), ord(" "))
    # lower case comes last: a final sigma is final in its word, not in the text
    return spaced.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass").lower().split()


def count_words(texts: Iterable[str], counts: Counter[str] | None = None) -> Counter[str]:
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
            counts.update(split_words("\n".join(batch)))
            batch, num_chars = [], 0
    counts.update(split_words("\n".join(batch)))
    return counts
