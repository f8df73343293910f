"""A table of n-grams that is walked word by word, for many places of a text at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


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
