"""N-grams: sequences of up to five words, what may stand between the words, and a table of them.

The words of an n-gram follow one another in one text. Between two of them stands white space, or one hyphen, apostrophe
or slash, with white space around it or not ("in vitro", "beta-catenin", "don't", "and/or", "manufacturer ' s"). Any
other punctuation, or more of it, ends an n-gram. It is written as its types with one space between: "beta catenin".

The table is a trie that is walked word by word, at all places of a text at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from diffmask.text.corpus.words import INVISIBLE, PUNCT, code_points, split_words, word_spans

MAX_N = 5
"""Longest n-gram (Levine et al. 2021, section 3.3)."""
JOINERS = "-\u2010\u2011\u2013'\u2019/"
"""What may stand between the words of an n-gram: hyphens, the dash of "dose\u2013response", apostrophes, the slash."""


class JoinedWords(NamedTuple):
    """The words of texts in order, and which of them may be of one n-gram."""

    types: list[str]
    starts: np.ndarray
    """First character of each word, int64 (W,)."""
    joined: np.ndarray
    """Whether a word may continue an n-gram with the word before it, bool (W,)."""

    @classmethod
    def find(cls, text: str, classes: np.ndarray, text_starts: np.ndarray) -> "JoinedWords":
        """Return the words of texts.

        Args:
            text: The texts, one a line.
            classes: `char_classes(text)`.
            text_starts: First character of each text.
        """
        types, (starts, _) = split_words(text), word_spans(classes)
        assert len(types) == len(starts)
        punctuation = np.flatnonzero(classes == PUNCT)
        # compared as code points: most texts are not ASCII throughout, and strings would be compared one by one
        points = code_points(text)[punctuation]
        if not text.isascii():
            seen = ~np.isin(points, list(INVISIBLE))
            punctuation, points = punctuation[seen], points[seen]
        is_joiner = np.isin(points, [ord(joiner) for joiner in JOINERS])
        joiners, stops = punctuation[is_joiner], punctuation[~is_joiner]
        joined = _none_between(stops, starts, 0) & _none_between(joiners, starts, 1)
        # half a character before a text's first lies between it and the line's end of the text before
        joined &= _none_between(np.asarray(text_starts) - 0.5, starts, 0)
        joined[:1] = False
        return cls(types, starts, joined)


def _none_between(places: np.ndarray, starts: np.ndarray, allowed: int) -> np.ndarray:
    """Return which words have at most `allowed` of the rising places between the word before and themselves."""
    before = np.searchsorted(places, starts)
    return np.diff(before, prepend=0) <= allowed


@dataclass(frozen=True, eq=False)
class NGramTrie:
    """N-grams of 1, 2, ... words; the first n - 1 words of an n-gram in it are in it, too.

    A number stands for each word and for each n-gram of n words (its row), -1 for one that is not in it. So an n-gram
    is a pair of numbers, of its first n - 1 words and of its last word. The pair is one integer, a key, and keys are
    found by binary search: for thousands of n-grams in one call of numpy, which a tree of Python objects cannot do.

    Attributes:
        words: The single words; a word's place is its number.
        keys: For n = 2, 3, ...: the keys of the n-grams of n words, rising; int64.
    """

    words: Sequence[str]
    keys: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, words: Sequence[str], ngrams: Sequence[np.ndarray]) -> "NGramTrie":
        """Return the trie of n-grams.

        Args:
            words: All words that occur in the n-grams.
            ngrams: For n = 2, 3, ...: the numbers of the words of each n-gram, int64 (N, n).
        """
        keys: list[np.ndarray] = []
        for n in range(2, len(ngrams) + 2):
            # the beginnings of longer n-grams are in the trie, too, whether they are n-grams of the list or not
            beginnings = np.concatenate([longer[:, :n] for longer in ngrams[n - 2 :]])
            rows = cls(words, tuple(keys)).rows(beginnings[:, :-1])
            keys.append(np.unique(rows * len(words) + beginnings[:, -1]))
        return cls(words, tuple(keys))

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
        near = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((rows >= 0) & (words >= 0) & (keys[near] == wanted), near, -1)

    def rows(self, words: np.ndarray) -> np.ndarray:
        """Return the row of each n-gram, given by its words as int64 (N, n)."""
        rows = words[:, 0]
        for n in range(2, words.shape[1] + 1):
            rows = self.extend(n, rows, words[:, n - 1])
        return rows
