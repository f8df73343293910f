"""Vocabulary: the word types of a domain beside a reference, and which of them may stand for the domain."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffmask.core.anchors import choose_anchors
from diffmask.core.difference import tf_icf
from diffmask.core.errors import InputError
from diffmask.core.types import TypeScores
from diffmask.text.anchors.encoder import LetterParts, letter_parts
from diffmask.text.corpus.counts import Counts
from diffmask.text.corpus.reference import Reference
from diffmask.text.corpus.words import LETTER, char_classes

NUM_COMMON = 300
"""So many of the most frequent words of the reference stand for words that are common everywhere."""
MIN_ANCHOR_COUNT = 10
WORDS_PER_ANCHOR = 5_000
MIN_VOTER_COUNT = 5
"""In large corpora most types occur once, and are slips of the pen: see `docs/scorers.md`."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Types of a domain: its words, most frequent first, then the letter parts of words with digits.

    Attributes:
        words: The words.
        parts: What is between the digits of words.
        counts: Occurrences of each type, int64 (V,).
        frequencies: General frequency of each type, float64 (V,).
        tf_icf: How many times its general frequency each type has in the domain, float64 (V,).
    """

    words: list[str]
    parts: LetterParts
    counts: Tensor
    frequencies: Tensor
    tf_icf: TypeScores

    @property
    def types(self) -> list[str]:
        """Words, then letter parts."""
        return self.words + self.parts.names

    def voters(self) -> Tensor:
        """Return which words say by their TF-ICF what the domain looks like, bool (W,).

        Not numbers, which the reference knows only together, and not what occurs less than five times; in a text too
        small for that, all words.
        """
        words = torch.tensor([any(map(str.isalpha, word)) for word in self.words])
        frequent = words & (self.counts[: len(self.words)] >= MIN_VOTER_COUNT)
        return frequent if frequent.sum() > 1 else words

    def common(self) -> Tensor:
        """Return the rows of words that are common everywhere, see `common_types`."""
        return common_types(self.words, self.frequencies[: len(self.words)])

    def choose(self, num_anchors: int, min_count: int) -> list[str]:
        """Return the words with the highest TF-ICF: frequent enough, no numbers, and no single letters.

        In scripts without spaces a single character is a word like any other.

        Raises:
            InputError: If no word may be an anchor.
        """
        counts = self.counts[: len(self.words)]
        eligible = (counts >= min_count) & torch.tensor([_is_telling(word) for word in self.words])
        if not eligible.any():
            most = f"the most frequent, {self.words[0]!r}, {int(counts[0]):,} times"
            raise InputError(
                f"no word occurs min_count={min_count} times in the data ({most}); lower --min-count or give more data"
            )
        rows = choose_anchors(self.tf_icf[: len(self.words)], eligible, num_anchors)
        return [self.words[row] for row in rows.tolist()]

    def with_parts(self, scores: TypeScores) -> TypeScores:
        """Return the scores of all types from those of the words; a letter part has the mean of its words."""
        return torch.cat([scores, self.parts.mean(scores, self.counts[: len(self.words)])])


def compare(counted: Counts, reference: Reference) -> Vocabulary:
    """Return the types of a domain beside a reference.

    Raises:
        InputError: If no word was counted.
    """
    if not counted.num_words:
        raise InputError("the data has no word in it, only punctuation; give data with text")
    words = sorted(counted.counts, key=lambda word: (-counted.counts[word], word))
    parts = letter_parts(words)
    counts = torch.tensor([counted.counts[word] for word in words])
    counts = torch.cat([counts, parts.count(counts)])
    frequencies = reference.frequencies(words + parts.names)
    return Vocabulary(words, parts, counts, frequencies, tf_icf(counts.double() / counted.num_words, frequencies))


def least_count(num_words: int) -> int:
    """Return how often a word has to occur to be an anchor: ten times, and once in 5,000 words.

    The frequency of a rare word is chance, and a word that the domain hardly uses does not stand for it.
    """
    return max(MIN_ANCHOR_COUNT, -(-num_words // WORDS_PER_ANCHOR))


def common_types(types: Sequence[str], frequencies: Tensor) -> Tensor:
    """Return the rows of the most frequent words of the reference, numbers apart, int64 (C,).

    Raises:
        InputError: If the reference knows none of the types.
    """
    known = (frequencies > 0) & torch.tensor([any(map(str.isalpha, word)) for word in types])
    rows = known.nonzero()[:, 0]
    if not len(rows):
        raise InputError(
            "the reference knows no word of the data; give a --reference of common text in the language of the data"
        )
    order = torch.sort(frequencies[rows], descending=True, stable=True).indices
    return rows[order[:NUM_COMMON]]


def _is_telling(word: str) -> bool:
    if len(word) == 1:
        return word.isalpha() and char_classes(word)[0] != LETTER
    return any(map(str.isalpha, word))
