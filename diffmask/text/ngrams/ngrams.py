"""N-grams: sequences of up to five words, what may stand between the words, and how often each occurs in texts.

The words of an n-gram follow one another in one text. Between two of them stands white space, or one hyphen, apostrophe
or slash, with white space around it or not ("in vitro", "beta-catenin", "don't", "and/or", "manufacturer ' s"). Any
other punctuation, or more of it, ends an n-gram. It is written as its types with one space between: "beta catenin".

A table of n-grams that is walked word by word, for many places of a text at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True, eq=False)
class NGramTrie:
    """N-grams of 1, 2, ... words; the first n - 1 words of an n-gram in it are in it, too.

    A number stands for each word and for each n-gram of n words (its row); -1 for one that is not there. So an n-gram
    is a pair of numbers, of its first n - 1 words and of its last word: a key, found by binary search.

    Attributes:
        words: The single words; a word's place is its number.
        keys: For n = 2, 3, ...: the keys of the n-grams of n words, rising; int64.
    """

    words: Sequence[str]
    keys: tuple[np.ndarray, ...]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Number of each word."""
        return {word: number for number, word in enumerate(self.words)}

    @property
    def max_n(self) -> int:
        """Words of the longest n-gram."""
        return len(self.keys) + 1

    def extend(self, n: int, rows: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return the rows of n-grams of `n` words, given by the rows of their first n - 1 words and their last word."""
        keys = self.keys[n - 2]
        if not len(keys):
            return np.full(len(rows), -1)
        wanted = rows * len(self.words) + words
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((rows >= 0) & (words >= 0) & (keys[found] == wanted), found, -1)

    def rows(self, words: np.ndarray) -> np.ndarray:
        """Return the row of each n-gram, given by its words as int64 (N, n)."""
        rows = words[:, 0]
        for n in range(2, words.shape[1] + 1):
            rows = self.extend(n, rows, words[:, n - 1])
        return rows


def build_trie(words: Sequence[str], ngrams: Sequence[np.ndarray]) -> NGramTrie:
    """Return the trie of n-grams.

    Args:
        words: All words that occur in the n-grams.
        ngrams: For n = 2, 3, ...: the numbers of the words of each n-gram, int64 (N, n).
    """
    keys: list[np.ndarray] = []
    for n in range(2, len(ngrams) + 2):
        # an n-gram brings the beginnings of itself along
        beginnings = np.concatenate([longer[:, :n] for longer in ngrams[n - 2 :]])
        rows = NGramTrie(words, tuple(keys)).rows(beginnings[:, :-1])
        keys.append(np.unique(rows * len(words) + beginnings[:, -1]))
    return NGramTrie(words, tuple(keys))
