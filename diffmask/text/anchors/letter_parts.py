"""Letter parts: what is between the digits of a word ("cyp" and "b" of "cyp2b6"), for who cuts words at digits.

Our words hold digits, and so does a unit that is masked. A table of scores is also read by others, by a tokenizer's
words or by letters alone: there such a part has the mean score of the words it stands in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffmask.core.types import TypeScores

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, eq=False)
class LetterParts:
    """Parts that are no words of the domain themselves, and where they stand.

    Attributes:
        names: The parts, in order of the alphabet.
        parts: Row in `names` of each occurrence in a word, int64 (N,).
        words: Row of that word, int64 (N,).
    """

    names: list[str]
    parts: Tensor
    words: Tensor

    def count(self, counts: Tensor) -> Tensor:
        """Return how often each part occurs, int64, from the counts of the words."""
        return counts.new_zeros(len(self.names)).index_add_(0, self.parts, counts[self.words])

    def mean(self, scores: TypeScores, counts: Tensor) -> TypeScores:
        """Return the mean score of the words that each part occurs in."""
        sums = torch.zeros(len(self.names), dtype=torch.float64)
        sums.index_add_(0, self.parts, scores[self.words].double() * counts[self.words])
        return (sums / self.count(counts)).to(scores.dtype)


def letter_parts(words: Sequence[str]) -> LetterParts:
    """Return the letter parts of words with digits.

    >>> letter_parts(["cyp2b6", "b", "p53", "12"]).names
    ['cyp', 'p']
    """
    known = set(words)
    found = [
        (part, row)
        for row, word in enumerate(words)
        if not word.isalpha()
        for part in _DIGITS.split(word)
        if part and part not in known
    ]
    names = sorted({part for part, _ in found})
    row_of = {name: row for row, name in enumerate(names)}
    pairs = torch.tensor([(row_of[part], row) for part, row in found], dtype=torch.int64).reshape(-1, 2)
    return LetterParts(names, pairs[:, 0], pairs[:, 1])
