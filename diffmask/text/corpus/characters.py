"""Characters as people see them: code points that belong to the symbol before them (emoji, marks on punctuation)."""

import functools
import unicodedata

import numpy as np

from diffmask.text.corpus.words import PUNCT, SPACE

_JOINER = 0x200D
_FIRST_MARK = 0x300  # below: no mark, no emoji
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_TAGS = range(0xE0020, 0xE0080)  # they spell the flag of a region
_FLAG_LETTERS = (0x1F1E6, 0x1F1FF)  # two of them are a flag


def continuations(text: str, classes: np.ndarray) -> np.ndarray:
    """Return which characters belong to the punctuation or symbol before them, bool, one per code point.

    What belongs to a letter is in `classes` already; this is for the rest: a variation selector on a heart, a skin
    tone, a family held together by joiners, the two letters of a flag.
    """
    continues = np.zeros(len(classes), dtype=bool)
    if text.isascii():
        return continues
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    symbols = np.flatnonzero((classes == PUNCT) & (points >= _FIRST_MARK))
    symbols = symbols[symbols > 0]
    symbols = symbols[classes[symbols - 1] != SPACE]
    known, inverse = np.unique(points[symbols], return_inverse=True)
    extends = np.array([_extends(point) for point in known.tolist()], dtype=bool)
    continues[symbols] = extends[inverse] | (points[symbols - 1] == _JOINER)
    continues |= _second_letters(points)
    return continues


@functools.lru_cache(maxsize=1 << 14)
def _extends(point: int) -> bool:
    return point == _JOINER or point in _SKIN_TONES or point in _TAGS or unicodedata.category(chr(point))[0] == "M"


def _second_letters(points: np.ndarray) -> np.ndarray:
    """Return every second letter of each run of flag letters."""
    letters = (points >= _FLAG_LETTERS[0]) & (points <= _FLAG_LETTERS[1])
    places = np.arange(len(points))
    run_starts = np.maximum.accumulate(np.where(letters, -1, places)) + 1
    return letters & ((places - run_starts) % 2 == 1)
