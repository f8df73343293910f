"""N-grams: sequences of up to five words, what may stand between the words, and how often each occurs in texts.

The words of an n-gram follow one another in one text. Between two of them stands white space, or one hyphen, apostrophe
or slash, with white space around it or not ("in vitro", "beta-catenin", "don't", "and/or", "manufacturer ' s"). Any
other punctuation, or more of it, ends an n-gram. It is written as its types with one space between: "beta catenin".
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffmask.core.errors import InputError
from diffmask.text.corpus.words import LETTER, PUNCT, UNSPACED, char_classes, split_words, unit_starts

if TYPE_CHECKING:
    import pyarrow

MAX_N = 5
"""Longest n-gram (Levine et al. 2021, section 3.3)."""
JOINERS = "-\u2010\u2011\u2013'\u2019/"
"""What may stand between the words of an n-gram: hyphens, the dash of "dose\u2013response", apostrophes, the slash."""


class WordRun(NamedTuple):
    """The words of texts, in order."""

    types: list[str]
    starts: np.ndarray
    """First character of each word, int64 (W,)."""
    joined: np.ndarray
    """Whether each word continues an n-gram with the word before it, bool (W,)."""


def check_max_n(max_n: int) -> int:
    """Return the length of the longest n-gram.

    Raises:
        InputError: It is not 2, 3, 4 or 5.
    """
    if not 2 <= max_n <= MAX_N:
        raise InputError(f"max-n {max_n} is outside 2 to {MAX_N}; n-grams have two to {MAX_N} words")
    return max_n


def find_words(text: str, classes: np.ndarray, text_starts: np.ndarray) -> WordRun:
    """Return the words of texts and which of them follow one another.

    Args:
        text: The texts, one a line.
        classes: `char_classes(text)`.
        text_starts: First character of each text.
    """
    types = split_words(text)
    starts = np.flatnonzero(unit_starts(classes) & ((classes == LETTER) | (classes == UNSPACED)))
    assert len(types) == len(starts)
    punctuation = np.flatnonzero(classes == PUNCT)
    # as code points, because most texts are not ASCII throughout
    is_joiner = np.isin(_code_points(text)[punctuation], [ord(joiner) for joiner in JOINERS])
    joiners, stops = punctuation[is_joiner], punctuation[~is_joiner]
    joined = _none_between(stops, starts, 0) & _none_between(joiners, starts, 1)
    joined &= _none_between(np.asarray(text_starts) - 0.5, starts, 0)
    joined[:1] = False
    return WordRun(types, starts, joined)


def count_texts(texts: Sequence[str], max_n: int = MAX_N) -> "pyarrow.Table":
    """Return how often each n-gram of 1 to `max_n` words occurs: columns ngram and count, in no order.

    >>> count_texts(["in vitro, in vitro"], 2).sort_by("ngram").to_pydict()
    {'ngram': ['in', 'in vitro', 'vitro'], 'count': [2, 2, 2]}
    """
    import pyarrow
    from pyarrow import compute

    text = "\n".join(texts)
    text_starts = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]
    types, _, joined = find_words(text, char_classes(text), text_starts)
    words = pyarrow.array(types, pyarrow.string())
    ngrams, lasts = words, np.arange(len(types))  # the last word of each n-gram
    chunks = [words]
    for _ in range(1, max_n):
        lasts += 1
        goes_on = np.append(joined, False)[lasts]
        ngrams, lasts = ngrams.filter(pyarrow.array(goes_on)), lasts[goes_on]
        ngrams = compute.call_function(
            "binary_join_element_wise", [ngrams, words.take(pyarrow.array(lasts)), " "], compute.JoinOptions()
        )
        chunks.append(ngrams)
    counted = pyarrow.chunked_array(chunks, pyarrow.string()).value_counts()
    return pyarrow.table({"ngram": counted.field("values"), "count": counted.field("counts")})


def num_words(ngrams: "pyarrow.Array | pyarrow.ChunkedArray") -> np.ndarray:
    """Return the length of each n-gram in words."""
    from pyarrow import compute

    spaces = compute.call_function("count_substring", [ngrams], compute.MatchSubstringOptions(" "))
    return spaces.to_numpy(zero_copy_only=False) + 1


def _code_points(text: str) -> np.ndarray:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _none_between(places: np.ndarray, starts: np.ndarray, allowed: int) -> np.ndarray:
    """Return which words have at most so many of the rising places between the word before and themselves."""
    before = np.searchsorted(places, starts)
    return np.diff(before, prepend=0) <= allowed
